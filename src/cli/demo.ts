import type pg from 'pg';
import { HoldfastError } from '../base/errors.ts';
import { formatEndpoint } from '../config/endpoint.ts';
import { SAMPLE } from '../embedded/sample.ts';
import type { AddCommand } from './command.ts';
import { APPLICATION, DemoStage } from './demo-stage.ts';
import { DEMO_STEPS } from './demo-steps.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';
import { type OpenedStore, type StoreOptions, withStore } from './snapshot-store.ts';

export const addDemo: AddCommand = (program, io) => {
  program
    .command('demo')
    .description('play on the sample database, behind a gateway that runs here, what Holdfast is for')
    .option('--config <file>', 'configuration file (or HOLDFAST_CONFIG)')
    .action(
      async (options: StoreOptions) => await withStore(options, io, (opened) => play(options, opened, io)),
    );
};

const TABLES = ['customers', 'products', 'orders', 'order_lines'] as const;

async function play(options: StoreOptions, opened: OpenedStore, io: Io): Promise<void> {
  const { listen, admin } = opened.config();
  const gateway = formatEndpoint(listen);
  const adminUrl = `http://${formatEndpoint(admin.listen)}`;
  const client = await connect(urlOf(gateway), io).catch((cause: unknown) => {
    throw noSample(gateway, cause);
  });
  const stop = () => void client.end().catch(() => {});
  io.stop.addEventListener('abort', stop, { once: true });
  try {
    const [server] = (await client.query(SERVER)).rows as { at: string; version: string }[];
    const directUrl = urlOf(server!.at);
    const direct = await connect(directUrl, io);
    try {
      await demandGrant(direct);
      io.out(
        `Holdfast at ${gateway}, PostgreSQL ${server!.version} behind it at ${server!.at}, database ${SAMPLE.database}.\n`,
      );
      await playSteps(new DemoStage({ io, options, opened, client, direct, directUrl, adminUrl }), io);
    } finally {
      await direct.end();
    }
  } finally {
    io.stop.removeEventListener('abort', stop);
    await client.end().catch(() => {});
  }
}

async function playSteps(stage: DemoStage, io: Io): Promise<void> {
  const before = await fingerprint(stage);
  for (const step of DEMO_STEPS) await step(stage);
  const same = (await fingerprint(stage)) === before;
  stage.heading('The end');
  if (!same)
    throw new HoldfastError(
      'CONFLICT',
      'the sample data are not as they were: somebody else has changed them',
    );
  stage.say(`Every row of ${TABLES.join(', ')} is as it was before.`);
  io.out('`holdfast snapshots` lists what was kept, the undos included: they can be undone as well.\n');
}

/** Where the server behind the gateway listens, as it says itself. */
const SERVER = `select host(inet_server_addr()) || ':' || inet_server_port() as at,
  split_part(current_setting('server_version'), ' ', 1) as version`;

/** A hash of all rows, in the order of their keys. */
async function fingerprint(stage: DemoStage): Promise<string> {
  const hashes = TABLES.map(
    (table) => `(select md5(string_agg(t::text, chr(10) order by t)) from ${table} t)`,
  );
  return (await stage.quietly(`select concat_ws(' ', ${hashes.join(', ')})`)).rows[0]?.[0] ?? '';
}

/** Samples of earlier versions do not let their owner leave triggers out. */
async function demandGrant(direct: pg.Client): Promise<void> {
  const { rows } = await direct.query(
    `select has_parameter_privilege('session_replication_role', 'SET') as may`,
  );
  if (rows[0]?.may === true) return;
  throw new HoldfastError('CONFLICT', 'the sample database was made by an earlier version', {
    hint: 'Stop the gateway, remove data/postgres, and start it again: a new one is made.',
  });
}

const urlOf = (endpoint: string): string =>
  `postgres://${SAMPLE.role}:${SAMPLE.password}@${endpoint}/${SAMPLE.database}`;

async function connect(connectionString: string, io: Io): Promise<pg.Client> {
  // Loaded only here, so that the other commands start at once.
  const { default: driver } = await import('pg');
  const client = new driver.Client({ connectionString, application_name: APPLICATION });
  client.on('error', () => {});
  client.on('notice', ({ message, detail }) =>
    io.out(`    NOTICE: ${printable([message, detail].filter(Boolean).join(': '))}\n`),
  );
  await client.connect();
  return client;
}

function noSample(gateway: string, cause: unknown): HoldfastError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new HoldfastError('UPSTREAM_UNREACHABLE', `there is no sample database behind ${gateway}`, {
    detail,
    hint: 'Run `npm start` in another terminal, in the same directory; it brings the sample database along.',
    cause,
  });
}
