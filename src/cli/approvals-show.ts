import { HoldfastError } from '../base/errors.ts';
import { AdminClient, type AdminOptions, type Fields, fieldText, isFields } from './admin-client.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';
import { alignRows, toJson } from './table.ts';

const FIELDS = [
  ...[
    'id',
    'state',
    'mode',
    'created_at',
    'expires_at',
    'resolved_by',
    'comment',
    'approved_by',
    'approvals_needed',
  ],
  ...[
    'approvers',
    'drift',
    'role',
    'database',
    'application',
    'client',
    'operation',
    'risk',
    'rule',
    'reason',
  ],
  ...['tables', 'parameters'],
];

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
  const rows = FIELDS.map((name) => [name, fieldText(approval, name)]).filter(([, text]) => text !== '');
  io.out(alignRows([...rows, ...previewRows(preview)] as string[][]));
  const statement = approval['statement'];
  const lines = (typeof statement === 'string' ? statement : '').split('\n');
  io.out(`\n${lines.map((line) => `  ${printable(line)}`).join('\n')}\n`);
}

function previewRows(answer: Fields | null): string[][] {
  const preview = answer?.['preview'];
  if (!isFields(preview)) return answer === null ? [] : [['preview', fieldText(answer, 'state')]];
  const { cascades, triggers, locks, undo } = preview;
  return [
    ['rows', ownRowsText(preview['rows'])],
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

/** Of the statement itself: an approval is bound to their number where that is known to the last. */
function ownRowsText(count: unknown): string {
  const isBound = isKnown(count) && count['kind'] === 'exact';
  return isBound ? countText(count) : `${countText(count)}; approved, it may change any number of rows`;
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
