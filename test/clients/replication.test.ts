import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, startGateway, type TestGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { clientProgram, connectionArguments, type Finished, run } from './support.ts';

type Program = Parameters<typeof clientProgram>[0];

let postgres: TestPostgres;
let closed: TestGateway;
let open: TestGateway;
let folder: string;

beforeAll(async () => {
  folder = await scratchFolder('replication');
  postgres = await startPostgres({
    version: 15,
    source: 'debian',
    settings: { wal_level: 'logical', max_wal_senders: '10', max_replication_slots: '10' },
  });
  await postgres.sql('create table log (id int primary key, note text)');
  closed = await startGateway({ upstreamPort: postgres.port, policy: DEFAULT_POLICY });
  open = await startGateway({
    upstreamPort: postgres.port,
    policy: DEFAULT_POLICY,
    environment: { HOLDFAST_STARTUP_REPLICATION: 'allow' },
  });
});
afterAll(async () => {
  await closed?.stop();
  await open?.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function replicate(port: number, program: Program, ...args: string[]): Promise<Finished> {
  return await run(clientProgram(program), [...connectionArguments(port), ...args], { deadlineMs: 60_000 });
}

/** The texts of the replication commands that the audit has, which must all have passed by the one rule. */
async function recorded(gateway: TestGateway): Promise<string[]> {
  const { body } = await gateway.http('/v1/audit?limit=500');
  const events = (body as { items: Record<string, unknown>[] }).items;
  for (const event of events) {
    expect(event).toMatchObject({ action: 'allow', rule: 'startup.replication', risk: 'forbidden' });
  }
  return events.map((event) => String(event['sql']));
}

const one = async (sql: string, database?: string): Promise<string> =>
  (await postgres.sql(sql, database))[0]![0]!;
const lsn = (): Promise<string> => one('select pg_current_wal_lsn()');

async function writeRows(from: number, count: number): Promise<void> {
  await postgres.sql(
    `insert into log select i, repeat(md5(i::text), 20) from generate_series(${from}, ${from + count - 1}) i`,
  );
}

describe('by default', () => {
  it.each<[Program, string[]]>([
    ['pg_receivewal', ['--directory=/nonexistent', '--slot=nobody', '--create-slot']],
    ['pg_basebackup', ['--pgdata=FOLDER/refused']],
    ['pg_recvlogical', ['--dbname=postgres', '--slot=nobody', '--create-slot', '--plugin=test_decoding']],
  ])('%s is refused, and told what to do', async (program, args) => {
    const { code, stderr } = await replicate(
      closed.port,
      program,
      ...args.map((arg) => arg.replace('FOLDER', folder)),
    );
    expect(code).toBe(1);
    expect(stderr).toContain('FATAL:  replication connections are refused by the gateway');
    expect(stderr).toContain('HINT:  Connect to the server directly, or set startup.replication: allow');
    expect(await postgres.sql('select slot_name from pg_replication_slots')).toEqual([]);
    expect(await recorded(closed)).toEqual([]);
  });
});

describe('where the configuration allows it', () => {
  it('pg_receivewal gets the log byte for byte', async () => {
    const made = (how: string) => replicate(open.port, 'pg_receivewal', '--slot=made', how);
    const silent = { code: 0, stdout: '', stderr: '' };
    expect([await made('--create-slot'), await made('--drop-slot')]).toEqual([silent, silent]);
    // Such a slot keeps the log only from when it is read first, and this one from now.
    await postgres.sql("select pg_create_physical_replication_slot('receivewal', true)");
    const segment = await one('select pg_walfile_name(pg_current_wal_lsn())');
    await writeRows(0, 20_000);
    await postgres.sql('select pg_switch_wal()');
    await writeRows(20_000, 1);
    const end = await lsn();
    // It stops only at something that lies behind the end.
    await writeRows(20_001, 1);
    const received = await replicate(
      open.port,
      'pg_receivewal',
      ...['--slot=receivewal', `--directory=${folder}`],
      `--endpos=${end}`,
      '--no-loop',
    );
    expect(received).toMatchObject({ code: 0, stdout: '' });
    const theirs = readFileSync(join(postgres.directory, 'data', 'pg_wal', segment));
    expect(theirs.length).toBe(16 * 1024 * 1024);
    expect(readFileSync(join(folder, segment)).equals(theirs)).toBe(true);
    await postgres.sql("select pg_drop_replication_slot('receivewal')");
    expect(await recorded(open)).toEqual(
      expect.arrayContaining([
        'IDENTIFY_SYSTEM',
        expect.stringMatching(/^CREATE_REPLICATION_SLOT "made" PHYSICAL/),
        expect.stringMatching(/^START_REPLICATION SLOT "receivewal"/),
        expect.stringMatching(/^DROP_REPLICATION_SLOT "made"/),
      ]),
    );
  });

  it('pg_basebackup makes a copy that verifies', async () => {
    const backup = join(folder, 'backup');
    const args = [`--pgdata=${backup}`, '--checkpoint=fast', '--wal-method=stream', '--no-sync'];
    expect(await replicate(open.port, 'pg_basebackup', ...args)).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readdirSync(backup)).toContain('PG_VERSION');
    const verified = await run(clientProgram('pg_verifybackup'), [backup]);
    expect(verified).toEqual({ code: 0, stdout: 'backup successfully verified\n', stderr: '' });
    expect(await recorded(open)).toContainEqual(expect.stringMatching(/^BASE_BACKUP/));
  });

  it('pg_recvlogical reads the same changes as directly', async () => {
    for (const [slot, port] of [
      ['direct', postgres.port],
      ['through', open.port],
    ] as const) {
      const made = await replicate(
        ...([port, 'pg_recvlogical', '--dbname=postgres', `--slot=${slot}`] as const),
        ...['--create-slot', '--plugin=test_decoding'],
      );
      expect(made.stderr).toBe('');
    }
    await writeRows(100_000, 500);
    await postgres.sql('delete from log where id % 100 = 7');
    const end = await lsn();
    const changes = async (port: number, slot: string): Promise<string> => {
      const { code, stdout, stderr } = await replicate(
        ...([port, 'pg_recvlogical', '--dbname=postgres', `--slot=${slot}`] as const),
        ...['--start', '--file=-', `--endpos=${end}`, '--no-loop'],
      );
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return stdout;
    };
    const through = await changes(open.port, 'through');
    expect(through).toBe(await changes(postgres.port, 'direct'));
    expect(through.match(/INSERT/g)).toHaveLength(500);
    expect(through.match(/DELETE/g)!.length).toBeGreaterThan(4);
    expect(await recorded(open)).toContainEqual(
      expect.stringMatching(/^START_REPLICATION SLOT "through" LOGICAL/),
    );
  });

  it('a subscription follows for as long as it lives', async () => {
    await postgres.sql('create database subscriber');
    await postgres.sql('create table log (id int primary key, note text)', 'subscriber');
    await postgres.sql('create publication log for table log');
    // Server and subscriber are one here, so that the slot has to be there before.
    await postgres.sql("select pg_create_logical_replication_slot('subscription', 'pgoutput')");
    await postgres.sql(
      `create subscription s connection 'host=127.0.0.1 port=${open.port} user=postgres dbname=postgres'
        publication log with (create_slot = false, slot_name = 'subscription', copy_data = false)`,
      'subscriber',
    );
    const arrived = async (count: number): Promise<void> => {
      await eventually(`${count} rows at the subscriber`, async () => {
        const rows = await one('select count(*) from log where id >= 200000', 'subscriber');
        return Number(rows) === count ? null : `${rows} rows`;
      });
    };
    await writeRows(200_000, 1_000);
    await arrived(1_000);
    await writeRows(210_000, 2_000);
    await arrived(3_000);
    expect(
      await postgres.sql("select application_name from pg_stat_replication where state = 'streaming'"),
    ).toEqual([['s']]);
    await postgres.sql('alter subscription s disable', 'subscriber');
    await postgres.sql('alter subscription s set (slot_name = none)', 'subscriber');
    await postgres.sql('drop subscription s', 'subscriber');
    await eventually('its command in the audit', async () => {
      const commands = (await recorded(open)).filter((text) => text.includes('"subscription"'));
      return commands.some((text) => text.startsWith('START_REPLICATION')) ? null : commands.join('; ');
    });
    open.assertAlive();
  });
});
