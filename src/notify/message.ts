import type { OutboxRow } from '../store/control-store.ts';
import type { Webhook } from './webhook.ts';

/** What the store's triggers have written of an approval, a pause or a quarantine. */
interface Written {
  readonly state?: string;
  readonly mode?: string;
  readonly role?: string;
  readonly expires_at_ms?: number | null;
  readonly until_ms?: number | null;
  /** Of a vote. */
  readonly verdict?: string;
  readonly voted_by?: string;
  readonly approved?: number;
  readonly by: string | null;
  readonly comment: string | null;
  readonly body: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** The body of one message. Its link leads to the console, which asks for a token; it does nothing by itself. */
export function messageOf(row: OutboxRow, webhook: Webhook, publicUrl: string | null): string {
  const written = JSON.parse(row.body) as Written;
  const facts = { ...(JSON.parse(written.body) as Fields), ...present(written) };
  const isApproval = row.event.startsWith('approval.');
  const url = publicUrl === null ? null : `${publicUrl}/${isApproval ? `#/approvals/${row.subject}` : ''}`;
  const about = isApproval
    ? approvalFields(row.subject, facts, webhook.statements)
    : restraintFields(row.subject, facts);
  const message =
    webhook.format === 'slack'
      ? { text: slackText(row.event, about, url) }
      : { id: row.id, type: row.event, time: timeOf(row.createdAtMs), url, data: about };
  return JSON.stringify(message);
}

function present({ body: _, ...rest }: Written): Fields {
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
}

function approvalFields(id: string, facts: Fields, statements: boolean): Fields {
  const { state, mode, role, database, application, client, operation, risk, tables, rule, reason } = facts;
  return {
    ...{ id, state, mode, role, database, application, client, operation, risk, tables, rule, reason },
    expires_at: timeOf(facts['expires_at_ms'] ?? facts['expiresAtMs']),
    resolved_by: facts['by'],
    comment: facts['comment'],
    ...(facts['voted_by'] === undefined ? {} : voteFields(facts)),
    ...(statements ? { statement: facts['statement'] } : {}),
  };
}

function voteFields({ verdict, voted_by, approved, approvalsNeeded }: Fields): Fields {
  return { verdict, voted_by, approved, approvals_needed: approvalsNeeded };
}

function restraintFields(id: string, facts: Fields): Fields {
  const { role = null, application = null, reason, comment } = facts;
  return { id, role, application, reason, until: timeOf(facts['until_ms']), by: facts['by'], comment };
}

const TITLES: Readonly<Record<string, string>> = {
  'approval.requested': 'A statement waits for approval',
  'approval.voted': 'Somebody has voted on a held statement',
  'approval.resolved': 'A held statement is decided',
  'pause.begun': 'The gateway is paused',
  'pause.lifted': 'The gateway goes on',
  'quarantine.begun': 'A role is in quarantine',
  'quarantine.lifted': 'A quarantine is lifted',
};

const SLACK_FIELDS = [
  ...['state', 'operation', 'risk', 'role', 'application', 'database', 'tables', 'reason'],
  ...['verdict', 'voted_by', 'approved', 'approvals_needed'],
  ...['until', 'resolved_by', 'by', 'comment', 'statement'],
];

const SLACK_CHARS_MAX = 3_000;

/** Slack's own format, in which whatever came from a client is text and nothing else. */
function slackText(event: string, about: Fields, url: string | null): string {
  const lines = SLACK_FIELDS.flatMap((field) => {
    const value = about[field];
    const text = Array.isArray(value) ? value.join(', ') : value;
    return text === null || text === undefined || text === '' ? [] : [`${field}: ${plain(String(text))}`];
  });
  const text = [`*${TITLES[event] ?? event}* (${String(about['id'])})`, ...lines].join('\n');
  const shown = text.length > SLACK_CHARS_MAX ? `${text.slice(0, SLACK_CHARS_MAX)}…` : text;
  return url === null ? shown : `${shown}\n<${url}|Open it in the console>`;
}

function plain(text: string): string {
  // A line of its own would look like one of ours, as would text that is shown in another order than it stands.
  const line = text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, ' ');
  const escaped = line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  // What would mark text up in Slack is kept apart from what it would mark by a mark that nobody sees.
  return escaped.replace(/[*_~`]/g, '\u200b$&');
}

function timeOf(ms: unknown): string | null {
  return typeof ms === 'number' ? new Date(ms).toISOString() : null;
}
