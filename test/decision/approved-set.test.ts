import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: ticket, rows_tolerance: "10%" }
rules:
  - { name: asks, match: { application: [plain], risk: [high, critical] }, action: hold, snapshot: off }
  - { name: waits, match: { application: [waits], risk: [high, critical] }, action: hold, snapshot: off, hold: { mode: live } }
  - { name: kept, match: { application: [kept], risk: [high, critical] }, action: hold }
  - { name: exact, match: { application: [exact], risk: [high, critical] }, action: hold, snapshot: off, hold: { rows_tolerance: 0 } }
`;

/** Twenty rows of each kind of table, of which the first five are flagged; \`names\` says which those are. */
const TABLES = `
drop table if exists keyed, keyless, parted, parent, child, tree, named, lone, lone_two cascade;
create table keyed (id int primary key, flagged boolean, note text);
insert into keyed select g, g <= 5, 'x' from generate_series(1, 20) g;
create table keyless (id int, flagged boolean, note text);
insert into keyless select g, g <= 5, 'x' from generate_series(1, 20) g;
create table parted (id int, part int, flagged boolean, primary key (part, id)) partition by list (part);
create table parted_1 partition of parted for values in (1);
create table parted_0 (flagged boolean, part int not null, id int not null);
alter table parted attach partition parted_0 for values in (0);
insert into parted select g, g % 2, g <= 5 from generate_series(1, 20) g;
create table parent (id int primary key, flagged boolean);
create table child (more text) inherits (parent);
insert into parent select g, g <= 5 from generate_series(1, 10) g;
insert into child select g, g <= 5 from generate_series(1, 10) g;
create table tree (id int primary key, up int references tree on delete cascade, flagged boolean);
insert into tree select g, null, g <= 5 from generate_series(1, 20) g;
insert into tree select g + 100, g, false from generate_series(1, 20) g;
create table named (id int primary key, wanted boolean);
insert into named select g, g <= 5 from generate_series(1, 20) g;
create view shown as select id, flagged, note from keyed where id < 1000;
create table lone (id int primary key); insert into lone select generate_series(1, 5);
create table lone_two (id int primary key); insert into lone_two select generate_series(1, 5);
`;

/** As many others as before. */
const SWAP = (table: string, column = 'flagged') =>
  `update ${table} set ${column} = not ${column} where id between 1 and 10`;

const MAKE_ROLE =
  "do $$ begin if to_regrole('set_deleter') is null then create role set_deleter login; end if; end $$";

const STATEMENTS: readonly (readonly [what: string, table: string, statement: string, swap?: string])[] = [
  ['a DELETE', 'keyed', 'delete from keyed where flagged'],
  ['an UPDATE', 'keyed', "update keyed set note = 'y' where flagged"],
  ['an UPDATE of the key', 'keyed', 'update keyed set id = id + 100 where flagged'],
  ['a table without a key', 'keyless', 'delete from keyless where flagged'],
  ['partitions', 'parted', 'delete from parted where flagged'],
  ['a view', 'keyed', 'delete from shown where flagged'],
  ['tables that inherit', 'parent', 'delete from parent where flagged'],
  [
    'rows of the same key in a parent and its child',
    'parent',
    'delete from parent where flagged',
    'update only parent set flagged = false; update child set flagged = id <= 10',
  ],
  ['a table that refers to itself', 'tree', 'delete from tree where flagged', SWAP('tree')],
  [
    'a join',
    'named',
    'delete from keyed using named where keyed.id = named.id and wanted',
    SWAP('named', 'wanted'),
  ],
  [
    'a WITH that reads',
    'named',
    "with w as (select id from named where wanted) update keyed set note = 'y' from w where keyed.id = w.id",
    SWAP('named', 'wanted'),
  ],
  [
    'a MERGE',
    'keyed',
    'merge into keyed using named on keyed.id = named.id when matched and flagged then delete',
  ],
  [
    'an upsert',
    'named',
    "insert into keyed select id, true, 'y' from named where wanted on conflict (id) do update set note = excluded.note",
    SWAP('named', 'wanted'),
  ],
  [
    'a TRUNCATE',
    'lone',
    'truncate lone',
    'delete from lone; insert into lone select generate_series(11, 15)',
  ],
  [
    'a TRUNCATE of two',
    'lone',
    'truncate lone, lone_two',
    'delete from lone where id < 3; insert into lone_two values (6), (7)',
  ],
];

const swaps = STATEMENTS.map(
  ([what, table, statement, swap]) => [what, statement, swap ?? SWAP(table)] as const,
);

describe.each([15, 18] as const)('which rows were approved, on PostgreSQL %i,', (version) => {
  let fixture: DecisionFixture;
  let other: RawClient;
  // What the version makes no difference to is tried on one of them.
  const newest = it.runIf(version === 18);
  const oldest = it.runIf(version === 15);
  const clients: RawClient[] = [];
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    other = await RawClient.open(fixture.postgres.port);
  });
  afterAll(async () => {
    other?.destroy();
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.postgres.sql(TABLES);
  });
  afterEach(async () => {
    await other.query('rollback');
    for (const client of clients.splice(0)) await client.terminate();
  });

  const client = async (application_name: string, user?: string) => {
    const opened = await fixture.client({ application_name, ...(user === undefined ? {} : { user }) });
    clients.push(opened);
    return opened;
  };
  const ask = async (from: RawClient, ...messages: readonly Buffer[]) => {
    from.write(...messages);
    const answer = await from.untilReady();
    const [error] = errorsOf(answer);
    expect(error, JSON.stringify(errorsOf(answer))).toMatchObject({ C: 'HF001' });
    return JSON.parse(error!['D']!).approval_id as string;
  };
  const bound = async (id: string) => {
    const { body } = await fixture.gateway.http(`/v1/approvals/${id}/preview`);
    const { preview } = body as { preview: { rows_bound: string; rows: object } | null };
    return preview?.rows_bound ?? (preview === null ? 'no preview' : null);
  };
  const driftOf = async (id: string) => (await fixture.approval(id))['drift'];
  const OTHERS = /^\d+ of the \d+ rows that it would change are not those that were approved$/;

  it.each(swaps)(
    'holds it again where as many others are, and runs on those that were approved: %s',
    async (_, statement, swap) => {
      const asking = await client(version === 15 ? 'plain' : 'kept');
      const id = await ask(asking, fe.query(statement));
      expect(await bound(id)).toBe('set');
      await fixture.resolve(id, 'approve');
      await fixture.postgres.sql(swap);
      const again = await ask(asking, fe.query(statement));
      expect(again).not.toBe(id);
      expect(await driftOf(again)).toEqual([expect.stringMatching(OTHERS)]);
      await fixture.resolve(again, 'approve');
      expect(errorsOf(await asking.query(statement))).toEqual([]);
    },
  );

  newest('are compared within the tolerance', async () => {
    const statement = 'delete from keyed where id between 1 and 10 or note = $$y$$';
    const asking = await client('plain');
    const runs = async (swap: string) => {
      await fixture.postgres.sql(TABLES);
      await fixture.resolve(await ask(asking, fe.query(statement)), 'approve');
      await fixture.postgres.sql(swap);
      asking.write(fe.query(statement));
      const [error] = errorsOf(await asking.untilReady());
      return error === undefined ? null : await driftOf(JSON.parse(error['D']!).approval_id);
    };
    expect(
      await runs("delete from keyed where id = 1; update keyed set note = 'y' where id = 11"),
    ).toBeNull();
    expect(
      await runs("delete from keyed where id in (1, 2); update keyed set note = 'y' where id in (11, 12)"),
    ).toEqual(['2 of the 10 rows that it would change are not those that were approved']);
  });

  newest('are estimated where they are many, and to the last where nothing may be another', async () => {
    const many = (from: number) =>
      `delete from keyed; insert into keyed select g, true, 'x' from generate_series(${from}, ${from + 9_999}) g`;
    const drifts = async (application: string, from: number) => {
      await fixture.postgres.sql(many(1));
      const asking = await client(application);
      const statement = `update keyed set note = 'from ${from}' where flagged`;
      const id = await ask(asking, fe.query(statement));
      expect(await bound(id)).toBe('set');
      await fixture.resolve(id, 'approve');
      await fixture.postgres.sql(many(from));
      asking.write(fe.query(statement));
      const [error] = errorsOf(await asking.untilReady());
      return error === undefined ? null : await driftOf(JSON.parse(error['D']!).approval_id);
    };
    expect(await drifts('plain', 501)).toBeNull();
    expect(await drifts('plain', 2_001)).toEqual([
      expect.stringMatching(/^about (19|20|21)\d\d of the 10000 rows that it would change are not/),
    ]);
    expect(await drifts('exact', 2)).toEqual([
      expect.stringMatching(/^(?:about|up to) \d+ of the 10000 rows that it would change are not/),
    ]);
    expect(await drifts('exact', 1)).toBeNull();
  });

  oldest('are those of the parameters, and told to a client that waits', async () => {
    const asking = await client('waits');
    const execute = [
      fe.parse('', 'delete from keyed where flagged and id < $1'),
      fe.bind({ parameters: ['50'] }),
    ];
    asking.write(...execute, fe.execute(), fe.sync());
    const id = await heldId(asking);
    await eventually('the preview', async () => ((await bound(id)) === 'set' ? null : 'it is not there'));
    await fixture.postgres.sql(SWAP('keyed'));
    await fixture.resolve(id, 'approve');
    const again = await heldId(asking);
    expect(await driftOf(again)).toEqual([
      '5 of the 5 rows that it would change are not those that were approved',
    ]);
    await eventually('the preview', async () => ((await bound(again)) === 'set' ? null : 'it is not there'));
    await fixture.resolve(again, 'approve');
    expect(errorsOf(await asking.untilReady())).toEqual([]);
    expect(await fixture.postgres.sql('select min(id), count(*) from keyed')).toEqual([['1', '15']]);
  });

  /** Runs it while another session has the rows, and gives them back as others once they are waited for. */
  const swapped = async (
    asking: RawClient,
    messages: readonly Buffer[],
    swap: string,
  ): Promise<BackendMessage[]> => {
    await other.query('begin');
    expect(errorsOf(await other.query(swap))).toEqual([]);
    asking.write(...messages);
    await eventually('the lock', async () => {
      const [row] = await fixture.postgres.sql('select count(*) from pg_locks where not granted');
      return row![0] === '0' ? 'nobody waits for it' : null;
    });
    await other.query('commit');
    return await asking.untilReady();
  };

  const text = 'delete from keyed where flagged';
  const query = [fe.query(text)];
  const execute = [fe.parse('', text), fe.bind(), fe.execute(), fe.sync()];
  const truncate = [fe.query('truncate lone')];
  newest.each([
    ['a Query', 'plain', query, SWAP('keyed')],
    ['an Execute', 'plain', execute, SWAP('keyed')],
    ['a captured Query', 'kept', query, SWAP('keyed')],
    ['a captured Execute', 'kept', execute, SWAP('keyed')],
    ['a MERGE', 'plain', [fe.query(swaps.find(([what]) => what === 'a MERGE')![1])], SWAP('keyed')],
    [
      'an upsert',
      'plain',
      [
        fe.query(
          "insert into keyed select id, true, 'y' from keyed where flagged on conflict (id) do update set note = excluded.note",
        ),
      ],
      SWAP('keyed'),
    ],
    ['a TRUNCATE', 'plain', truncate, 'delete from lone; insert into lone select generate_series(11, 15)'],
    [
      'a captured TRUNCATE',
      'kept',
      truncate,
      'delete from lone; insert into lone select generate_series(11, 15)',
    ],
  ])('are looked at again where it has waited for a lock: %s', async (_, application, messages, swap) => {
    const asking = await client(application);
    await fixture.resolve(await ask(asking, ...messages), 'approve');
    const [error] = errorsOf(await swapped(asking, messages, swap));
    expect(error).toMatchObject({ C: '42501', D: expect.stringMatching(/^5 of the 5 rows/) });
    expect(error!['M']).toMatch(/not those that were approved/);
    expect(
      await fixture.postgres.sql(
        "select (select count(*) from keyed where note = 'x'), (select count(*) from lone)",
      ),
    ).toEqual([['20', '5']]);
  });

  newest('fail the transaction of the client where others are', async () => {
    const asking = await client('plain');
    await fixture.resolve(await ask(asking, ...query), 'approve');
    await asking.query('begin');
    const answer = await swapped(asking, query, SWAP('keyed'));
    expect(errorsOf(answer)).toMatchObject([{ C: '42501' }]);
    expect(statusOf(answer)).toBe('E');
  });

  newest.each([
    ['the table', 'lock table keyed in share row exclusive mode', 'It would change 6 rows'],
    ['a row', 'select from keyed where id = 1 for update', '1 of the 6 rows'],
  ])('may not become more by what comes while it waits for %s', async (_, lock, told) => {
    const asking = await client('plain');
    await fixture.resolve(await ask(asking, ...query), 'approve');
    await other.query('begin');
    await other.query(lock);
    const [error] = errorsOf(await swapped(asking, query, 'insert into keyed values (77, true)'));
    expect(error).toMatchObject({ C: '42501', D: expect.stringContaining(told) });
    expect(await fixture.postgres.sql('select count(*) from keyed')).toEqual([['21']]);
  });

  const upsert =
    "insert into keyed values (77, false, 'y') on conflict (id) do update set note = excluded.note";
  newest.each([
    ['by a Query', [fe.query(upsert)]],
    ['by an Execute', [fe.parse('', upsert), fe.bind(), fe.execute(), fe.sync()]],
  ])('may not be one that an upsert has met when it came %s', async (_, messages) => {
    const asking = await client('exact');
    const id = await ask(asking, ...messages);
    expect(await bound(id)).toBe('set');
    await fixture.resolve(id, 'approve');
    const [error] = errorsOf(await swapped(asking, messages, "insert into keyed values (77, true, 'x')"));
    expect(error).toMatchObject({ C: '42501', D: expect.stringContaining('It would change 1 rows, and 0') });
    expect(await fixture.postgres.sql('select note from keyed where id = 77')).toEqual([['x']]);
  });

  newest('are refused to an upsert whose role may not lock the table', async () => {
    await fixture.postgres.sql(`${MAKE_ROLE}; grant select, insert, update (note) on keyed to set_deleter`);
    const asking = await client('exact', 'set_deleter');
    await fixture.resolve(await ask(asking, fe.query(upsert)), 'approve');
    expect(errorsOf(await asking.query(upsert))).toMatchObject([
      { C: '42501', D: expect.stringContaining('permission denied for table keyed') },
    ]);
    await fixture.postgres.sql('grant update on keyed to set_deleter');
    await fixture.resolve(await ask(asking, fe.query(upsert)), 'approve');
    expect(errorsOf(await asking.query(upsert))).toEqual([]);
  });

  /** Whoever keeps a lock that the look itself does not need would have all the time between. */
  const joined = 'delete from keyed where id in (select id from named where wanted)';
  newest.each([
    ['the table', 'keyed in share row exclusive mode', [fe.query(joined)]],
    [
      'the table, by an Execute,',
      'keyed in share row exclusive mode',
      [fe.bind({ statement: 'joined' }), fe.execute(), fe.sync()],
    ],
    [
      'a partition',
      'parted_1 in share row exclusive mode',
      [fe.query('delete from parted where id in (select id from named where wanted)')],
    ],
    [
      'a table that it only reads from',
      'lone in access exclusive mode',
      [
        fe.query(
          ';update keyed set note = (select max(id) from lone) where id in (select id from named where wanted)',
        ),
      ],
    ],
  ])('are looked at once %s has been waited for', async (_, lock, messages) => {
    const asking = await client('exact');
    asking.write(fe.parse('joined', joined), fe.sync());
    await asking.untilReady();
    await fixture.resolve(await ask(asking, ...messages), 'approve');
    await other.query('begin');
    expect(errorsOf(await other.query(`lock table only ${lock}`))).toEqual([]);
    const [error] = errorsOf(await swapped(asking, messages, SWAP('named', 'wanted')));
    expect(error).toMatchObject({ C: '42501', D: expect.stringMatching(/^5 of the 5 rows/) });
    expect(
      await fixture.postgres.sql(
        "select (select count(*) from keyed where note = 'x'), (select count(*) from parted)",
      ),
    ).toEqual([['20', '20']]);
  });

  newest('are looked at once the table has been waited for that a role may only delete from', async () => {
    await fixture.postgres.sql(`${MAKE_ROLE}; grant select, delete on keyed to set_deleter`);
    const asking = await client('exact', 'set_deleter');
    await fixture.resolve(await ask(asking, ...query), 'approve');
    await other.query('begin');
    await other.query('lock table keyed in exclusive mode');
    const [error] = errorsOf(await swapped(asking, query, SWAP('keyed')));
    expect(error).toMatchObject({ C: '42501', D: expect.stringMatching(/^5 of the 5 rows/) });
  });
});

it('outlast a restart', async () => {
  const fixture = await DecisionFixture.start(POLICY);
  try {
    await fixture.postgres.sql(TABLES);
    const messages = fe.query('delete from keyed where flagged');
    const idOf = (answer: BackendMessage[]) => JSON.parse(errorsOf(answer)[0]!['D']!).approval_id as string;
    const before = await fixture.client({ application_name: 'plain' });
    before.write(messages);
    const id = idOf(await before.untilReady());
    await fixture.resolve(id, 'approve');
    before.destroy();
    await fixture.gateway.killHard();
    fixture.goesOnWith(
      await startGateway({
        upstreamPort: fixture.postgres.port,
        policy: POLICY,
        environment: { HOLDFAST_STORE: `sqlite:${join(fixture.gateway.directory, 'h.db')}` },
      }),
    );
    await fixture.postgres.sql(SWAP('keyed'));
    const after = await fixture.client({ application_name: 'plain' });
    after.write(messages);
    const again = idOf(await after.untilReady());
    expect((await fixture.approval(again))['drift']).toEqual([
      '5 of the 5 rows that it would change are not those that were approved',
    ]);
    after.destroy();
  } finally {
    await fixture.stop();
  }
});
