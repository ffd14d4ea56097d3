import { createPublicKey } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { readPublicKey } from '../audit/key-file.ts';
import { loadConfig } from '../config/load.ts';
import { AdminClient, type AdminOptions, type Fields, fieldText, withAdminOptions } from './admin-client.ts';
import { type VerifyOptions, verifyCommand } from './audit-verify.ts';
import { type AddCommand, configFile } from './command.ts';
import type { Io } from './io.ts';
import { oneLine } from './printable.ts';
import { toJson } from './table.ts';

const FILTERS = [
  'role',
  'database',
  'application',
  'operation',
  'risk',
  'action',
  'table',
  'sqlstate',
  'since',
  'until',
  'text',
] as const;

const ABOUT: Readonly<Record<string, string>> = {
  since: 'only events from this time on, like 2026-01-31T12:00:00Z',
  until: 'only events before this time',
  text: 'only statements that have this in their text',
  sqlstate: 'only events that ended with this SQLSTATE',
};

type Filters = Readonly<Partial<Record<(typeof FILTERS)[number], string>>>;
type TailOptions = AdminOptions & Filters & { readonly lines: string; readonly follow?: boolean };

const FOLLOW_MS = 1_000;
const FOLLOW_PAGE = '200';
/** What comes between two looks and is more than this is skipped, and said to be. */
const FOLLOW_PAGES_MAX = 50;
const SQL_CHARS_MAX = 120;

export const addAudit: AddCommand = (program, io, finish) => {
  const audit = program.command('audit').description('what ran, and what policy said of it');
  const tail = withAdminOptions(audit.command('tail'))
    .description('print the last events, the newest last')
    .addOption(new Option('-n, --lines <count>', 'how many').default('20'))
    .option('-f, --follow', 'go on with what comes, until Ctrl-C');
  for (const filter of FILTERS)
    tail.option(`--${filter} <${filter}>`, ABOUT[filter] ?? `only events with this ${filter}`);
  tail.action(async (options: TailOptions, command: Command) => {
    if (!/^[1-9]\d{0,2}$/.test(options.lines))
      command.error("error: option '--lines' takes a number from 1 to 999");
    await follow(options, io);
  });
  addVerify(audit, io, finish);
  addKey(audit, io, finish);
};

const addVerify: AddCommand = (audit, io, finish) => {
  audit
    .command('verify')
    .description('prove that no record was changed, removed or moved; offline, also while a gateway runs')
    .option('--config <file>', 'configuration file (or HOLDFAST_CONFIG), for what is not given')
    .option('--store <path>', 'the store, as a path or as in the configuration')
    .option('--anchors <place>', 'where the anchors are, a folder or as in the configuration (snapshots)')
    .option('--no-anchors', 'without anchors; then nobody can tell whether the newest records are missing')
    .option(
      '--public-key <file...>',
      'whose audit it has to be: what audit key prints; several after a change of keys',
    )
    .option('--json', 'print JSON')
    .action(async (options: VerifyOptions) => finish(await verifyCommand(options, io)));
};

const addKey: AddCommand = (audit, io) => {
  audit
    .command('key')
    .description('print the public key that heads of the audit are signed with, to be kept elsewhere')
    .option('--config <file>', 'configuration file (or HOLDFAST_CONFIG)')
    .option('--json', 'print JSON')
    .action((options: { config?: string; json?: boolean }) => {
      const { audit: settings } = loadConfig({ ...configFile(options.config, io), env: io.env });
      const { id, publicKey } = readPublicKey(settings.signingKey);
      const key = createPublicKey({ key: Buffer.from(publicKey), type: 'spki', format: 'der' });
      const pem = String(key.export({ type: 'spki', format: 'pem' }));
      io.out(options.json === true ? toJson({ id, public_key: pem }) : pem);
    });
};

async function follow(options: TailOptions, io: Io): Promise<void> {
  const client = new AdminClient(options, io);
  const filters = Object.fromEntries(FILTERS.map((name) => [name, options[name]] as const));
  const { items } = await client.getPage('/v1/audit', { ...filters, limit: options.lines });
  let lastId = fieldText(items[0] ?? {}, 'id');
  print([...items].reverse(), options, io);
  while (options.follow === true && !io.stop.aborted) {
    try {
      await sleep(FOLLOW_MS, undefined, { signal: io.stop });
      const { events, complete } = await newerThan(lastId, client, filters);
      if (!complete) io.err('holdfast: more events came than could be followed; some are not shown\n');
      print(events, options, io);
      lastId = fieldText(events.at(-1) ?? { id: lastId }, 'id');
    } catch (error) {
      if (io.stop.aborted) return;
      throw error;
    }
  }
}

/** Events after the one that was seen last, the oldest first. Pages run from the newest backwards. */
async function newerThan(
  lastId: string,
  client: AdminClient,
  filters: Filters,
): Promise<{ events: Fields[]; complete: boolean }> {
  const events: Fields[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < FOLLOW_PAGES_MAX; page++) {
    const { items, next } = await client.getPage('/v1/audit', { ...filters, limit: FOLLOW_PAGE, cursor });
    for (const event of items) {
      if (fieldText(event, 'id') === lastId) return { events: events.reverse(), complete: true };
      events.push(event);
    }
    // With nothing seen before, the first page is all that is asked for.
    if (next === null || lastId === '') return { events: events.reverse(), complete: true };
    cursor = next;
  }
  return { events: events.reverse(), complete: false };
}

function print(events: readonly Fields[], options: TailOptions, io: Io): void {
  for (const event of events)
    io.out(options.json === true ? `${JSON.stringify(event)}\n` : `${line(event)}\n`);
}

function line(event: Fields): string {
  const outcome = [
    fieldText(event, 'end', 'outcome'),
    fieldText(event, 'sqlstate'),
    event['rows'] === undefined || event['rows'] === null ? '' : `${fieldText(event, 'rows')} rows`,
    event['duration_ms'] === undefined ? '' : `${fieldText(event, 'duration_ms')} ms`,
  ].filter((part) => part !== '');
  const statement = event['statement'] ?? event['text'] ?? event['sql'];
  return [
    fieldText(event, 'time', 'at').padEnd(24),
    `${fieldText(event, 'role')}@${fieldText(event, 'database')}`.padEnd(20),
    fieldText(event, 'risk').padEnd(9),
    fieldText(event, 'action').padEnd(8),
    fieldText(event, 'rule').padEnd(18),
    `[${outcome.join(', ')}]`,
    oneLine(typeof statement === 'string' ? statement : fieldText(event, 'operation'), SQL_CHARS_MAX),
  ].join(' ');
}
