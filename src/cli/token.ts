import { HoldfastError } from '../base/errors.ts';
import { DURATION_HINT, parseDurationMs } from '../policy/duration.ts';
import { AdminClient, type AdminOptions, type Fields, fieldText, withAdminOptions } from './admin-client.ts';
import type { AddCommand } from './command.ts';
import type { Io } from './io.ts';
import { alignRows, toJson } from './table.ts';

interface NewOptions extends AdminOptions {
  readonly scope: readonly string[];
  readonly role?: readonly string[];
  readonly group?: readonly string[];
  readonly expires?: string;
}

const COLUMNS = ['name', 'source', 'person', 'scopes', 'roles', 'groups', 'expires_at', 'ended_because'];

export const addToken: AddCommand = (program, io) => {
  const token = program.command('token').description('who may use the admin API');
  withAdminOptions(token.command('list', { isDefault: true }))
    .description('list tokens, of the file and of the store')
    .action(async (options: AdminOptions) => await list(options, io));
  withAdminOptions(token.command('new'))
    .description('make a token, and print it once')
    .argument('<name>', 'shown in the audit and on approvals')
    .requiredOption('--scope <scope...>', 'what it may do, like approval:read; * is everything')
    .option('--role <role...>', 'database roles of its own, whose statements it must not approve')
    .option('--group <group...>', 'groups of approvers that it belongs to')
    .option('--expires <when>', 'a duration like 30d, a date, or a time with its zone')
    .action(async (name: string, options: NewOptions) => await make(name, options, io));
  withAdminOptions(token.command('revoke'))
    .description('take a token away, and all that it has made, at once')
    .argument('<name>')
    .action(async (name: string, options: AdminOptions) => {
      const answer = await new AdminClient(options, io).delete(`/v1/tokens/${encodeURIComponent(name)}`);
      io.out(options.json === true ? toJson(answer) : revokedText(answer));
    });
};

function revokedText(answer: Fields): string {
  const along = fieldText(answer, 'with_it');
  const and = along === '' ? '' : `, and with it what it has made: ${along.replaceAll(',', ', ')}`;
  return `${fieldText(answer, 'revoked')} is revoked${and}.\n`;
}

async function list(options: AdminOptions, io: Io): Promise<void> {
  const page = await new AdminClient(options, io).getPage('/v1/tokens', {});
  if (options.json === true) io.out(toJson(page));
  else {
    const rows = page.items.map((item) => COLUMNS.map((column) => fieldText(item, column) || '-'));
    const titles = COLUMNS.map((column) => column.replace(/_at|_because/, '').toUpperCase());
    io.out(alignRows([titles, ...rows]));
  }
}

async function make(name: string, options: NewOptions, io: Io): Promise<void> {
  const { scope: scopes, role: roles, group: groups, expires } = options;
  const body: Fields = {
    name,
    scopes,
    ...(roles === undefined ? {} : { roles }),
    ...(groups === undefined ? {} : { groups }),
    ...(expires === undefined ? {} : { expires_at: expiry(expires) }),
  };
  const answer = await new AdminClient(options, io).post('/v1/tokens', body);
  if (options.json === true) return io.out(toJson(answer));
  io.err('Keep it: it is not shown again.\n');
  io.out(`${fieldText(answer, 'token')}\n`);
}

function expiry(text: string): string {
  const ms = parseDurationMs(text);
  if (ms !== null) return new Date(Date.now() + ms).toISOString();
  if (/^\d{4}-\d\d-\d\d/.test(text)) return text;
  throw new HoldfastError('CONFIG_INVALID', `--expires: ${DURATION_HINT}, or a date`);
}
