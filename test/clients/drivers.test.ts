import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, MONITOR_POLICY, SNAPSHOTS, type TestGateway } from '../support/gateway.ts';
import { buildDrivers, DATABASE, DRIVERS, output, Pair, SERVERS } from './support.ts';

/** Java's driver prepares transactions. */
const SETTINGS = { max_prepared_transactions: '10' };

async function said(driver: string, port: number, ...how: readonly string[]): Promise<string> {
  const [program, ...args] = DRIVERS[driver]!;
  return await output(program!, [...args, String(port), DATABASE, ...how]);
}

beforeAll(buildDrivers, 300_000);

describe.each(SERVERS)('Drivers of other languages with $name', (server) => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start(server, MONITOR_POLICY, SNAPSHOTS, SETTINGS);
  });
  afterAll(async () => await pair?.stop());

  it.each(Object.keys(DRIVERS))('%s sees no difference', async (driver) => {
    const lines = await pair.same(async (port) => (await said(driver, port)).split('\n'));
    expect(lines.length).toBeGreaterThan(70);
  });
});

describe.each(SERVERS)('Drivers of other languages with the default policy and $name', (server) => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start(server, DEFAULT_POLICY, SNAPSHOTS, SETTINGS);
  });
  afterAll(async () => await pair?.stop());

  // Left out is what it holds or blocks whoever sends it: texts that are not SQL, large objects.
  it.each(Object.keys(DRIVERS))('%s sees no difference in what it lets through', async (driver) => {
    const lines = await pair.same(async (port) => (await said(driver, port, 'cautious')).split('\n'));
    expect(lines.length).toBeGreaterThan(70);
  });
});

const ANSWERS = `
mode: protect
rules:
  - { name: precious, match: { table: [precious], operation: [delete] }, action: block }
  - { name: awaited, match: { table: [awaited], operation: [delete] }, action: hold, hold: { mode: live } }
  - { name: ticketed, match: { table: [ticketed], operation: [update] }, action: hold, hold: { mode: ticket } }
`;

const TABLES = `
create table precious (id int primary key); insert into precious select generate_series(0, 5);
create table awaited (id int primary key); insert into awaited select generate_series(0, 999);
create table ticketed (id int primary key, name text); insert into ticketed select generate_series(0, 999)`;

const BLOCKED = '42501 statement blocked by policy: delete';

/** What pgx is told in each of its modes; a batch of the simple protocol is one Query, and so one decision. */
const toldByPgx = (mode: string, from: number): string[] => {
  const simple = mode === 'simple protocol';
  const held = 'notice NOTICE 00000 statement held for approval';
  return [
    `mode ${mode}`,
    ...Array.from({ length: 7 }, () => `blocked ${BLOCKED} I`),
    'within fine T',
    `blocked ${BLOCKED} E`,
    'aborted 25P02 current transaction is aborted, commands ignored until end of transaction block E',
    'commit fine I',
    simple ? `batch  ${BLOCKED}` : 'batch INSERT 0 1 fine',
    ...[`batch  ${BLOCKED}`, `batch  ${BLOCKED}`, `ends ${BLOCKED} I`],
    ...[held, 'held DELETE 1 fine'],
    ...(simple ? [held, 'held batch INSERT 0 1 fine'] : ['held batch INSERT 0 1 fine', held]),
    ...['held batch DELETE 1 fine', 'held batch SELECT 1 fine', 'ends fine I'],
    ...['ticketed UPDATE 1 fine true', 'ticketed in a transaction UPDATE 1 fine true'],
    ...[held, 'gave up true true'],
    `left ${[2, 3, 4, 5, 6, 7, 8, 9].map((n) => from + n).join(' ')}, ${from} ${from + 3}, ${from} by ticket ${from + 1} in a transaction`,
  ];
};

/** With autosave the driver goes back to its savepoint; in simple mode each statement of a batch is a Query of its own. */
const toldByJdbc = (settings: string, from: number): string[] => {
  const simple = settings.includes('simple');
  const inserted = simple ? `${from} ${from + 2} ${from + 3}` : `${from}`;
  return [
    `--- ${settings}`,
    ...Array.from({ length: 7 }, () => 'blocked 42501 ERROR: statement blocked by policy: delete'),
    'within 1',
    'blocked 42501 ERROR: statement blocked by policy: delete',
    settings.includes('autosave')
      ? 'and then 1'
      : 'and then 25P02 ERROR: current transaction is aborted, commands ignored until end of transaction block',
    `batch ${simple ? '[1, -3, 1]' : '[-3, -3, -3]'} 42501 ERROR: statement blocked by policy: delete`,
    ...['held 1 00000 statement held for approval', 'held in a batch [1, 1]'],
    ...['ticketed 1, again', 'ticketed within 1, again'],
    'given up 57014 ERROR: canceling statement due to user request',
    `precious ${inserted}, awaited ${[3, 4, 5, 6, 7, 8, 9].map((n) => from + n).join(' ')}, ticketed 2`,
  ];
};

async function approveUntil(over: () => boolean, gateway: TestGateway): Promise<void> {
  while (!over()) {
    const { body } = await gateway.http('/v1/approvals?state=pending');
    for (const { id, statement } of (body as { items: { id: string; statement: string }[] }).items) {
      // What its client is to give up is approved by nobody.
      if (!statement.includes('id = -1')) {
        await gateway.http(`/v1/approvals/${id}/approve`, { method: 'POST', body: {} });
      }
    }
    await setTimeout(50);
  }
}

describe.each(SERVERS)("The gateway's own answers, with $name", (server) => {
  let pair: Pair;
  let approving: Promise<void>;
  let over = false;
  beforeAll(async () => {
    pair = await Pair.start(server, ANSWERS, SNAPSHOTS);
    approving = approveUntil(() => over, pair.gateway as TestGateway);
  });
  afterAll(async () => {
    over = true;
    // Its last question is answered before the gateway it asks stops.
    await approving;
    await pair?.stop();
  });

  it.each([
    [
      'pgx and lib/pq of Go',
      [
        ...[toldByPgx('cache statement', 20), toldByPgx('cache describe', 30)],
        toldByPgx('simple protocol', 60),
      ],
    ],
    [
      "Java's JDBC driver",
      [
        ...[toldByJdbc('', 210), toldByJdbc('?preferQueryMode=simple', 220)],
        toldByJdbc('?autosave=always', 230),
      ],
    ],
  ])('reach the programs of %s in their place', async (driver, expected) => {
    await pair.freshDatabase();
    await pair.postgres.sql(TABLES, DATABASE);
    const lines = (await said(driver, pair.gateway.port, 'answers')).trimEnd().split('\n');
    expect(lines).toEqual(expected.flat());
  });
});
