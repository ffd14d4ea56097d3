import { AdminClient, type AdminOptions, type Fields, fieldText, withAdminOptions } from './admin-client.ts';
import { showApproval } from './approvals-show.ts';
import type { AddCommand } from './command.ts';
import type { Io } from './io.ts';
import { oneLine } from './printable.ts';
import { alignRows, spanText, toJson } from './table.ts';

const SQL_CHARS_MAX = 80;
const RULE_CHARS_MAX = 40;
/** As many as the API gives at a time. */
const PENDING_MAX = '1000';

interface ListOptions extends AdminOptions {
  readonly state: string;
  readonly limit?: string;
  readonly cursor?: string;
}

export const addApprovals: AddCommand = (program, io) => {
  const approvals = program.command('approvals').description('statements that wait for a person');
  withAdminOptions(approvals.command('list', { isDefault: true }))
    .description('list what waits')
    .option('--state <state>', 'pending, approved, denied, … or all', 'pending')
    .option('--limit <count>', 'how many; of what is pending 1000, else 50')
    .option('--cursor <id>', 'go on behind this one, to those that were asked for before')
    .action(async (options: ListOptions) => await list(options, io));
  withAdminOptions(approvals.command('show'))
    .description('show what waits, and what it would do')
    .argument('<id>', 'the id that the notice to the client names')
    .action(async (id: string, options: AdminOptions) => await showApproval(id, options, io));
  for (const verb of ['approve', 'deny'] as const) {
    withAdminOptions(approvals.command(verb))
      .description(verb === 'approve' ? 'let a held statement run' : 'refuse a held statement')
      .argument('<id>', 'the id that the notice to the client names')
      .option(
        '--comment <text>',
        verb === 'approve' ? 'kept with the approval' : 'kept with the approval, and told to the client',
      )
      .action(
        async (id: string, options: AdminOptions & { comment?: string }) =>
          await resolve(verb, id, options, io),
      );
  }
  withAdminOptions(approvals.command('break-glass'))
    .description('let a held statement run in an emergency, alone')
    .argument('<id>', 'the id that the notice to the client names')
    .requiredOption('--reason <text>', 'kept, and logged')
    .action(
      async (id: string, options: AdminOptions & { reason: string }) => await breakGlass(id, options, io),
    );
};

async function breakGlass(id: string, options: AdminOptions & { reason: string }, io: Io): Promise<void> {
  const path = `/v1/approvals/${encodeURIComponent(id)}/break-glass`;
  const approval = await new AdminClient(options, io).post(path, { reason: options.reason });
  io.out(options.json === true ? toJson(approval) : `${oneLine(id, 100)} ${fieldText(approval, 'state')}\n`);
}

/** What is pending is listed role by role, so that none hides what the others wait for by asking much. */
async function list({ limit, cursor, ...options }: ListOptions, io: Io): Promise<void> {
  const client = new AdminClient(options, io);
  const state = options.state === 'all' ? undefined : options.state;
  const isSpread = state === 'pending' && cursor === undefined;
  const page = await client.getPage(
    '/v1/approvals',
    isSpread ? { state, spread: 'role', limit: limit ?? PENDING_MAX } : { state, limit, cursor },
  );
  if (options.json === true) io.out(toJson(page));
  else if (page.items.length === 0) io.out(state === undefined ? 'There are none.\n' : `None is ${state}.\n`);
  else
    io.out(
      alignRows([
        ['ID', 'STATE', 'ASKED', 'LEFT', 'ROLE', 'DATABASE', 'RISK', 'RULE', 'STATEMENT'],
        ...page.items.map((item) => row(item, Date.now(), io)),
      ]),
    );
  if (options.json === true || page.next === null) return;
  io.err(
    isSpread
      ? 'There are more, of the roles that wait for most; decide some of these, and they are listed.\n'
      : `There are more; --cursor ${oneLine(page.next, 100)} goes on with them.\n`,
  );
}

async function resolve(
  verb: 'approve' | 'deny',
  id: string,
  options: AdminOptions & { comment?: string },
  io: Io,
): Promise<void> {
  const client = new AdminClient(options, io);
  const body: Fields = options.comment === undefined ? {} : { comment: options.comment };
  const approval = await client.post(`/v1/approvals/${encodeURIComponent(id)}/${verb}`, body);
  io.out(
    options.json === true ? toJson(approval) : `${fieldText({ id }, 'id')} ${fieldText(approval, 'state')}\n`,
  );
}

function row(approval: Fields, nowMs: number, io: Io): string[] {
  const text = (name: string) => fieldText(approval, name);
  const statement = approval['statement'];
  const isPending = text('state') === 'pending';
  return [
    text('id'),
    text('state'),
    spanText(nowMs - Date.parse(text('created_at'))),
    isPending ? spanText(Date.parse(text('expires_at')) - nowMs) : '-',
    ...['role', 'database', 'risk'].map(text),
    oneLine(text('rule'), RULE_CHARS_MAX),
    oneLine(typeof statement === 'string' ? statement : '', io.terminal ? SQL_CHARS_MAX : SQL_CHARS_MAX * 2),
  ];
}
