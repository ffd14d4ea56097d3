import { HoldfastError } from '../base/errors.ts';
import { AdminClient, type AdminOptions, type Fields, fieldText, isFields } from './admin-client.ts';
import { sampleText } from './approval-sample.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';
import { alignRows, sizeText, spanText, toJson } from './table.ts';

/** All that whoever decides should know, the statement last. */
export async function showApproval(id: string, options: AdminOptions, io: Io): Promise<void> {
  const client = new AdminClient(options, io);
  const path = `/v1/approvals/${encodeURIComponent(id)}`;
  const approval = await client.get(path);
  const preview = await client.get(`${path}/preview`).catch((error) => {
    // Without the right to it, or where there is none, all else is still worth showing.
    if (error instanceof HoldfastError && error.code !== 'UPSTREAM_UNREACHABLE') return null;
    throw error;
  });
  if (options.json === true) return io.out(toJson({ ...approval, preview }));
  const rows = [...askedRows(approval, Date.now()), ...previewRows(preview), ...decidedRows(approval)];
  io.out(alignRows(rows.filter(([, text]) => text !== '') as string[][]));
  io.out(sampleText(preview?.['preview'], io.terminal ? io.columns : null));
  io.out(`\n${indented(rawText(approval, 'statement'))}${whatIsCut(approval)}`);
}

/** Who asks, for what, and what has been said of it. */
function askedRows(approval: Fields, nowMs: number): string[][] {
  const text = (name: string) => fieldText(approval, name);
  const binding = isFields(approval['binding']) ? approval['binding'] : {};
  const runsAs = fieldText(binding, 'runs_as');
  const application = text('application') === '' ? '' : `, application ${text('application')}`;
  const leftMs = Date.parse(text('expires_at')) - nowMs;
  const isPending = text('state') === 'pending';
  return [
    ['approval', text('id')],
    ['state', isPending && !Number.isNaN(leftMs) ? `pending, ${spanText(leftMs)} left` : text('state')],
    ['by', `${text('role')} in ${text('database')}${application}${from(text('client'))}`],
    ['runs as', runsAs === text('role') ? '' : runsAs],
    ['asked', asked(approval)],
    ['risk', `${text('risk')}${text('reasons') === '' ? '' : `: ${text('reasons')}`}`],
    ['rule', `${text('rule')}${text('reason') === '' ? '' : `: ${text('reason')}`}`],
    ['drift', text('drift')],
    ['approvals', votes(approval)],
    ['tables', text('tables')],
    ['search path', fieldText(binding, 'search_path')],
    ['parameters', text('parameters') === '0' ? '' : text('parameters')],
    ['no snapshot', fieldText(binding, 'without_snapshot')],
  ];
}

const from = (client: string): string => (client === '' ? '' : `, from ${client}`);

const MODES: Readonly<Record<string, string>> = {
  live: 'its session waits',
  ticket: 'once approved, its client may run it once by asking again',
};

function asked(approval: Fields): string {
  const [at, mode] = ['created_at', 'mode'].map((name) => fieldText(approval, name));
  return [at, MODES[mode!] ?? mode].filter(Boolean).join(', ');
}

function votes(approval: Fields): string {
  const [needed, by, groups] = ['approvals_needed', 'approved_by', 'approvers'].map((name) =>
    fieldText(approval, name),
  );
  const members = groups === '' ? '' : `, by members of ${groups}`;
  if (needed === '' || (needed === '1' && by === '' && members === '')) return '';
  const all = approval['approved_by'];
  const given = Array.isArray(all) ? all.length : 0;
  return `${given} of ${needed}${by === '' ? '' : ` (${by})`}${members}`;
}

/** How it ended, and what may still come of it. */
function decidedRows(approval: Fields): string[][] {
  const [by, at, comment] = ['resolved_by', 'resolved_at', 'comment'].map((name) =>
    fieldText(approval, name),
  );
  const grant = isFields(approval['grant']) ? approval['grant'] : {};
  const [until, used] = ['until', 'consumed_at'].map((name) => fieldText(grant, name));
  return [
    ['decided', [by === '' ? '' : `by ${by}`, at].filter(Boolean).join(', ')],
    ['comment', comment!],
    ['run', used !== '' ? used! : until === '' ? '' : `not yet; it may be until ${until}`],
  ];
}

const rawText = (fields: Fields, name: string): string => {
  const value = fields[name];
  return typeof value === 'string' ? value : '';
};

const indented = (text: string): string =>
  `${text
    .split('\n')
    .map((line) => `  ${printable(line)}`)
    .join('\n')}\n`;

/** Nobody is to approve what they do not know of. */
function whatIsCut(approval: Fields): string {
  const whole = approval['statement_bytes'];
  const shown = Buffer.byteLength(rawText(approval, 'statement'));
  if (typeof whole !== 'number' || shown >= whole) return '';
  const end = rawText(approval, 'statement_end');
  const hash = fieldText(approval, 'statement_sha256');
  const facts = `sha256 ${hash}; GET /v1/approvals/${fieldText(approval, 'id')}/statement and the console have more`;
  const said = `\nCUT: these are the first ${sizeText(shown)} of ${sizeText(whole)} (${facts}).\n`;
  return end === '' ? said : `${said}It ends so:\n\n${indented(end)}`;
}

function previewRows(answer: Fields | null): string[][] {
  const preview = answer?.['preview'];
  if (!isFields(preview)) return answer === null ? [] : [['preview', fieldText(answer, 'state')]];
  const { cascades, triggers, locks, undo } = preview;
  return [
    ['rows', ownRowsText(preview['rows'], preview['rows_bound'])],
    [
      'cascades to',
      listText(cascades, 'nodes', (node) => `${fieldText(node, 'table')} (${countText(node['rows'])})`),
    ],
    [
      'triggers',
      listText(triggers, 'items', (one) => `${fieldText(one, 'name')} on ${fieldText(one, 'table')}`),
    ],
    ['lock', isKnown(locks) ? `${fieldText(locks, 'mode')}: ${fieldText(locks, 'blocks')}` : whyNot(locks)],
    ...(isFields(undo) ? [['undo', `${fieldText(undo, 'possible')}: ${fieldText(undo, 'reason')}`]] : []),
  ];
}

/** Of the statement itself: an approval is bound to them, or their number, where they are known to the last. */
function ownRowsText(count: unknown, bound: unknown): string {
  const isBound = isKnown(count) && count['kind'] === 'exact';
  if (!isBound) return `${countText(count)}; approved, it may change any number of rows`;
  return bound === 'set' ? countText(count) : `${countText(count)}; approved, it may change as many others`;
}

/** What is not known is never shown as none. */
function countText(count: unknown): string {
  if (!isKnown(count)) return whyNot(count);
  const rows = fieldText(count, 'rows');
  if (count['kind'] === 'exact') return rows;
  return count['kind'] === 'at_least'
    ? `at least ${rows}`
    : `about ${rows}, because ${fieldText(count, 'reason')}`;
}

function listText(list: unknown, name: string, textOf: (item: Fields) => string): string {
  if (!isKnown(list)) return whyNot(list);
  const items = list[name];
  const texts = Array.isArray(items) ? items.filter(isFields).map(textOf) : [];
  return texts.length === 0 ? 'none' : texts.join(', ');
}

function isKnown(part: unknown): part is Fields {
  return isFields(part) && part['kind'] !== 'unknown';
}

function whyNot(part: unknown): string {
  const reason = isFields(part) ? fieldText(part, 'reason') : '';
  return reason === '' ? 'unknown' : `unknown, because ${reason}`;
}
