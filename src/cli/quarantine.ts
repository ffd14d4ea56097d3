import { HoldfastError } from '../base/errors.ts';
import { DURATION_HINT, parseDurationMs } from '../policy/duration.ts';
import { AdminClient, type AdminOptions, type Fields, fieldText, withAdminOptions } from './admin-client.ts';
import type { AddCommand } from './command.ts';
import type { Io } from './io.ts';
import { alignRows, toJson } from './table.ts';

interface AddOptions extends AdminOptions {
  readonly application?: string;
  readonly for?: string;
  readonly reason: string;
}

const COLUMNS = ['id', 'role', 'application', 'until', 'by', 'reason'];

export const addQuarantine: AddCommand = (program, io) => {
  const quarantine = program
    .command('quarantine')
    .description('roles of which everything that is not safe is refused');
  withAdminOptions(quarantine.command('list', { isDefault: true }))
    .description('list those in quarantine')
    .action(async (options: AdminOptions) => await list(options, io));
  withAdminOptions(quarantine.command('add'))
    .description('put a role in quarantine')
    .argument('<role>')
    .option('--application <name>', 'only what it does under this name')
    .option('--for <duration>', 'like 30m or 2h; until it is lifted, if not given')
    .requiredOption('--reason <text>', 'told to whoever is refused')
    .action(async (role: string, options: AddOptions) => await add(role, options, io));
  withAdminOptions(quarantine.command('lift'))
    .description('lift a quarantine')
    .argument('<id>')
    .option('--comment <text>', 'kept in the audit')
    .action(async (id: string, options: AdminOptions & { comment?: string }) => {
      const path = `/v1/quarantine/${encodeURIComponent(id)}`;
      const answer = await new AdminClient(options, io).delete(path, { comment: options.comment });
      io.out(options.json === true ? toJson(answer) : `${fieldText(answer, 'role')} is free.\n`);
    });
};

async function list(options: AdminOptions, io: Io): Promise<void> {
  const page = await new AdminClient(options, io).getPage('/v1/quarantine', {});
  if (options.json === true) io.out(toJson(page));
  else if (page.items.length === 0) io.out('Nobody is in quarantine.\n');
  else {
    const rows = page.items.map((item) => COLUMNS.map((column) => fieldText(item, column) || '-'));
    io.out(alignRows([COLUMNS.map((column) => column.toUpperCase()), ...rows]));
  }
}

async function add(role: string, options: AddOptions, io: Io): Promise<void> {
  const { application, reason } = options;
  const body: Fields = {
    role,
    reason,
    ...(application === undefined ? {} : { application }),
    ...(options.for === undefined ? {} : { for_s: secondsOf(options.for) }),
  };
  const answer = await new AdminClient(options, io).post('/v1/quarantine', body);
  io.out(options.json === true ? toJson(answer) : `${fieldText(answer, 'id')}\n`);
}

function secondsOf(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === null) throw new HoldfastError('CONFIG_INVALID', `--for: ${DURATION_HINT}`);
  return Math.ceil(ms / 1000);
}
