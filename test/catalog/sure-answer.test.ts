import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Catalog, type CatalogQuestion } from '../../src/catalog/catalog.ts';
import { type HiddenConnection, HiddenQueryError } from '../../src/catalog/connection.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

const SCHEMA = `
  create role reader; grant reader to postgres;
  create schema moved; create schema first;
  create table plain (id int primary key, x int, y int); create table above (x int);
  create table target (id int primary key); create table referrer (plain int);
  create function noted() returns trigger language plpgsql as 'begin return new; end';
  create function same(int, int) returns bool language sql as 'select true';
`;

/** What others change, and what the session itself does, each behind all before it. */
const CHANGES = [
  'alter table plain add column z int',
  'alter table plain rename column z to w',
  'alter table plain drop column w',
  'alter table plain alter y set not null',
  'alter table plain alter y type bigint',
  'alter table plain add constraint positive check (x > 0)',
  'alter table plain drop constraint positive, add constraint positive check (x > 1)',
  'create unique index on plain (x)',
  'create index on plain (y)',
  'alter table plain add unique (y) deferrable',
  'alter table plain add foreign key (x) references target',
  'alter table plain add foreign key (y) references target (id) on delete cascade',
  'alter table referrer add foreign key (plain) references plain',
  'alter table plain inherit above',
  'alter table plain no inherit above',
  'create rule r as on delete to plain do also nothing',
  'create rule s as on update to plain do also nothing',
  'create trigger t after delete on plain execute function noted()',
  'create trigger u after update on plain execute function noted()',
  'alter table plain disable trigger t',
  'alter table plain enable row level security',
  'create policy p on plain',
  'alter policy p on plain using (x > 1)',
  'create table below () inherits (plain)',
  'drop table below',
  'alter table plain set schema moved; create table plain (id int primary key)',
  'grant update (id) on plain to reader',
] as const;

const OF_THE_SESSION = [
  'set search_path = moved, public',
  `set session_replication_role = 'replica'`,
  'set row_security = off',
  `set "DateStyle" = 'German'`,
  `set "IntervalStyle" = 'sql_standard'`,
  'set extra_float_digits = 0',
  'set track_counts = off',
  'set role reader',
] as const;

describe.each([15, 18] as const)('an answer of the catalog that is recalled, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  let connection: HiddenClient;
  const catalog = new Catalog();
  const question: CatalogQuestion = {
    scope: 'postgres',
    relations: [{ schema: null, name: 'plain' }],
    allReferrers: false,
    functions: [],
  };

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(SCHEMA);
    client = await RawClient.open(postgres.port);
  });
  afterAll(async () => {
    client?.destroy();
    await postgres?.stop();
  });

  /** In a transaction of its own, which the server may fail. */
  async function inOne<T>(run: () => Promise<T>): Promise<T> {
    await client.rows('begin');
    connection = new HiddenClient(client, true);
    try {
      return await run();
    } finally {
      client.write(Buffer.from([0x53, 0, 0, 0, 4]));
      await client.untilReady();
      await client.rows('rollback');
    }
  }

  const stillSo = async () =>
    await inOne(async () => await catalog.sure(question)!.ask(connection, `'besides'`));
  const learn = async (by = catalog) => await inOne(async () => await by.ask(connection, question));

  it('is told to be so still, with what is asked besides, as long as nothing has changed', async () => {
    expect(catalog.sure(question)).toBeNull();
    await learn();
    for (let i = 0; i < 2; i++) expect((await stillSo())[0]).toBe('besides');
    await postgres.sql('insert into plain values (1, 2, 3); update plain set x = 3; delete from plain');
    expect((await stillSo())[0]).toBe('besides');
    const { answer } = catalog.sure(question)!;
    expect(answer).toBe(catalog.recall(question));
  });

  it('fails where the question for it fails, which fails all that is asked behind it', async () => {
    const fresh = new Catalog();
    const canceled = new HiddenQueryError({ C: '57014', M: 'canceled' });
    const failing: HiddenConnection = {
      overlaps: true,
      run: async (query, onRow) => {
        if (query.sql.startsWith("SELECT pg_catalog.concat_ws(' | '")) throw canceled;
        return await connection.run(query, onRow);
      },
    };
    const ask = () => inOne(async () => await fresh.ask(failing, question));
    await expect(ask()).rejects.toBe(canceled);
    await learn(fresh);
    await client.rows('set extra_float_digits = 0');
    const sure = fresh.sure(question)!;
    await expect(inOne(async () => await sure.ask(connection, '1'))).rejects.toMatchObject({
      sqlstate: '22012',
    });
    await expect(ask()).rejects.toBe(canceled);
    await client.rows('reset all');
  });

  it.each(CHANGES)('is so no more behind: %s', async (change) => {
    const { relations } = await learn();
    // Of several it is never sure.
    const isSure = relations.size === 1;
    if (isSure) expect((await stillSo())[0]).toBe('besides');
    expect(catalog.sure(question) !== null).toBe(isSure);
    await postgres.sql(change);
    if (!isSure) return;
    await expect(stillSo()).rejects.toMatchObject({ sqlstate: '22012' });
    expect(catalog.sure(question)).toBeNull();
  });

  it.each(OF_THE_SESSION)('is another where the session has done: %s', async (setting) => {
    await learn();
    expect((await stillSo())[0]).toBe('besides');
    await client.rows(setting);
    await expect(stillSo()).rejects.toMatchObject({ sqlstate: '22012' });
    await client.rows('reset all; reset role');
  });

  it('is never what a transaction reads that reads by one snapshot, which others would be asked about in vain', async () => {
    await learn();
    await client.rows(`set default_transaction_isolation = 'repeatable read'`);
    await expect(stillSo()).rejects.toMatchObject({ sqlstate: '22012' });
    const both = [catalog, new Catalog()];
    for (const each of both) {
      for (let i = 0; i < 2; i++) {
        const { oneSnapshot, basis } = await learn(each);
        expect(oneSnapshot).toBe(true);
        // Nothing of the answer before it, which would keep the one before that, and so all of them.
        expect(Object.keys(basis).sort()).toEqual(['fingerprint', 'kept', 'lacking', 'oids', 'sequences']);
      }
      expect(each.sure(question)).toBeNull();
    }
    await client.rows('reset all');
    for (const each of both) {
      expect((await learn(each)).oneSnapshot).toBe(false);
      expect(each.sure(question)!.answer.oneSnapshot).toBe(false);
    }
    expect((await stillSo())[0]).toBe('besides');
  });

  it('is never sure where the database has operators of its own', async () => {
    await learn();
    await postgres.sql('create operator public.=== (leftarg = int, rightarg = int, function = same)');
    await expect(stillSo()).rejects.toMatchObject({ sqlstate: '22012' });
    await learn();
    expect(catalog.sure(question)).toBeNull();
  });
});
