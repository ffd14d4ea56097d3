import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Catalog, type CatalogQuestion } from '../../src/catalog/catalog.ts';
import { bestKey, type Relation } from '../../src/catalog/relation.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

const SCHEMA = `
  create role reader;
  create schema "Odd ""schema";
  create table parent (
    id int primary key, name text collate "C", twice int generated always as (id * 2) stored,
    acl aclitem, own int generated always as identity, serial bigserial);
  create unique index parent_name on parent (name, own) include (serial);
  create unique index parent_part on parent (serial) where serial > 5;
  create table child (id int, parent int references parent on delete cascade on update set null, other int default 7,
    constraint back foreign key (other) references parent on delete set default deferrable initially deferred);
  alter table child add primary key (id) deferrable;
  create table grandchild (child int, unique nulls not distinct (child));
  create table bystander (parent int references parent);
  create table split (a int, b text, primary key (a)) partition by range (a);
  create table split_1 partition of split for values from (0) to (10);
  create table of_split (a int references split on delete cascade);
  create table base (x int); create table derived (y int) inherits (base);
  create view seen as select * from parent;
  create rule no_delete as on delete to base do instead nothing;
  create function noted() returns trigger language plpgsql as 'begin return new; end';
  create trigger note before update or delete on parent for each row execute function noted();
  create trigger off after truncate on parent execute function noted();
  alter table parent disable trigger off;
  create table "Odd ""schema"."naïve.""table" ("a b" int);
  create table hidden (x int); alter table hidden enable row level security;
  grant select on hidden, parent to reader; grant update (name) on parent to reader;
  create function changing(int) returns int language sql volatile as 'select 1';
  create function changing(text) returns int language sql immutable as 'select 1';
`;

describe.each([15, 18] as const)('the catalog of PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  let connection: HiddenClient;
  const catalog = new Catalog();

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(SCHEMA);
    client = await RawClient.open(postgres.port);
    await client.rows('begin');
    connection = new HiddenClient(client);
  });
  afterAll(async () => {
    client?.destroy();
    await postgres?.stop();
  });

  function asked(name: string, more: Partial<CatalogQuestion> = {}): CatalogQuestion {
    const relations = [{ schema: null, name }];
    return { scope: 'postgres', relations, allReferrers: false, functions: [], ...more };
  }

  async function relation(name: string, schema: string | null = null): Promise<Relation> {
    const answer = await catalog.ask(connection, asked(name, { relations: [{ schema, name }] }));
    return answer.relations.get(answer.roots[0]!)!;
  }

  it('knows columns, keys, triggers and what a table owns', async () => {
    const parent = await relation('parent');
    expect(parent).toMatchObject({
      schema: 'public',
      kind: 'table',
      heap: true,
      owner: 'postgres',
      select: true,
    });
    const columns = parent.columns.map((c) => [
      c.name,
      c.type.name,
      c.generated,
      c.identity,
      c.binary,
      c.collation,
    ]);
    expect(columns).toEqual([
      ['id', 'int4', '', '', true, null],
      ['name', 'text', '', '', true, 'pg_catalog."C"'],
      ['twice', 'int4', 's', '', true, null],
      ['acl', 'aclitem', '', '', false, null],
      ['own', 'int4', '', 'a', true, null],
      ['serial', 'int8', '', '', true, null],
    ]);
    expect(parent.keys.map((key) => [key.name, key.primary, key.columns, key.notNull])).toEqual([
      ['parent_pkey', true, ['id'], true],
      ['parent_name', false, ['name', 'own'], false],
    ]);
    expect(bestKey(parent)?.columns).toEqual(['id']);
    expect(parent.triggers).toEqual([
      {
        name: 'note',
        function: 'noted',
        timing: 'before',
        level: 'row',
        events: ['delete', 'update'],
        deferrable: false,
      },
    ]);
    expect(parent.sequences.map(({ name }) => name).sort()).toEqual(['parent_own_seq', 'parent_serial_seq']);
  });

  it('follows foreign keys that change what refers to a row', async () => {
    const answer = await catalog.ask(connection, asked('parent'));
    const names = [...answer.relations.values()].map(({ name }) => name).sort();
    expect(names).toEqual(['child', 'parent']);
    const [cascade, back] = answer.relations.get(answer.roots[0]!)!.references;
    expect(cascade).toMatchObject({
      columns: ['id'],
      referrerColumns: ['parent'],
      operators: ['pg_catalog.='],
      onDelete: 'cascade',
      onUpdate: 'set null',
      deleteActive: true,
      updateActive: true,
      deferrable: false,
    });
    expect(back).toMatchObject({
      name: 'back',
      onDelete: 'set default',
      onUpdate: 'no action',
      deferrable: true,
    });
    const all = await catalog.ask(connection, asked('parent', { allReferrers: true }));
    expect([...all.relations.values()].map(({ name }) => name)).toContain('bystander');
  });

  it('knows partitions from either end, and descendants', async () => {
    const leaf = await catalog.ask(connection, asked('split_1'));
    expect([...leaf.relations.values()].map(({ name }) => name).sort()).toEqual([
      'of_split',
      'split',
      'split_1',
    ]);
    expect((await relation('split')).kind).toBe('partitioned table');
    const base = await catalog.ask(connection, asked('base'));
    expect([...base.relations.values()].map(({ name, rules }) => [name, rules]).sort()).toEqual([
      ['base', ['delete']],
      ['derived', []],
    ]);
    expect((await relation('seen')).kind).toBe('view');
  });

  it('finds names as the session does, temporary tables first', async () => {
    expect((await relation('naïve."table', 'Odd "schema')).columns.map(({ name }) => name)).toEqual(['a b']);
    expect((await catalog.ask(connection, asked('nowhere'))).roots).toEqual([null]);
    const before = (await relation('bystander')).oid;
    await client.rows('savepoint s; create temp table bystander (x int)');
    const temporary = await relation('bystander');
    expect(temporary).toMatchObject({ temporary: true });
    expect(temporary.oid).not.toBe(before);
    await client.rows('rollback to s');
    expect((await relation('bystander')).oid).toBe(before);
  });

  it('asks once for what it knows, and sees what other sessions change', async () => {
    await relation('grandchild');
    const before = connection.runs;
    await relation('grandchild');
    expect(connection.runs - before).toBe(1);
    await client.rows('commit; begin');
    await postgres.sql('alter table grandchild add foreign key (child) references parent on delete cascade');
    const parent = await catalog.ask(connection, asked('parent'));
    expect([...parent.relations.values()].map(({ name }) => name)).toContain('grandchild');
    for (const change of [
      'alter table grandchild add column more text',
      'create trigger t after delete on grandchild execute function noted()',
      'alter table grandchild enable row level security',
      'create unique index on grandchild (more)',
    ]) {
      const seen = connection.runs;
      await postgres.sql(change);
      await relation('grandchild');
      expect(connection.runs - seen, change).toBe(2);
    }
  });

  it('sees every kind of change, the first of it and the next', async () => {
    await client.rows('commit');
    await postgres.sql('create schema moved; create table plain (x int); create table heir (x int)');
    await postgres.sql('create table above (x int); create table whole (x int) partition by list (x)');
    const places = ['public', 'moved', 'again'];
    for (const change of [
      'alter table whole attach partition plain for values in (1)',
      'alter table whole detach partition plain',
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
      'alter table heir inherit plain',
      'alter table heir no inherit plain',
      'alter table plain add constraint positive check (x > 0)',
      'alter table plain alter x set default 1',
      'alter table plain set schema moved',
      'alter schema moved rename to again',
    ]) {
      await client.rows('begin');
      await relation('plain', places[0]);
      await client.rows('commit');
      await postgres.sql(change);
      if (/schema (?:moved|again)|rename/.test(change)) places.shift();
      await client.rows('begin');
      const seen = connection.runs;
      await relation('plain', places[0]);
      expect(connection.runs - seen, change).toBe(2);
      await relation('plain', places[0]);
      expect(connection.runs - seen, `known again after ${change}`).toBe(3);
      await client.rows('commit');
    }
    await client.rows('begin');
  });

  it('says of operators and casts of the database what they are', async () => {
    const answerOf = async () => (await catalog.ask(connection, asked('parent'))).catalogFirst;
    expect(await answerOf()).toBe(true);
    await client.rows(`savepoint s; create function odd(int, int) returns bool language sql as 'select true';
      create operator public.~~~ (leftarg = int, rightarg = int, function = odd)`);
    expect(await answerOf()).toBe(false);
    await client.rows('set local search_path = pg_temp');
    expect(await answerOf()).toBe(true);
    await client.rows('rollback to s');
    expect(await answerOf()).toBe(true);
  });

  it("knows the role's privileges and row security", async () => {
    await client.rows('savepoint s; set local role reader');
    expect(await relation('parent')).toMatchObject({ select: true, update: true, rowSecurity: false });
    expect(await relation('hidden')).toMatchObject({ select: true, update: false, rowSecurity: true });
    await client.rows('rollback to s');
    expect(await relation('hidden')).toMatchObject({ update: true, rowSecurity: false });
  });

  it('sees which foreign keys fire', async () => {
    await client.rows('savepoint s; set local session_replication_role = replica');
    expect((await relation('parent')).references[0]).toMatchObject({ deleteActive: false });
    await client.rows('rollback to s');
    expect((await relation('parent')).references[0]).toMatchObject({ deleteActive: true });
  });

  it('knows the worst that a call may mean', async () => {
    const names = ['changing', 'random', 'now', 'lower', 'nothing'];
    const functions = names.map((name) => ({ schema: null, name }));
    const answer = await catalog.ask(connection, asked('parent', { functions }));
    expect(answer.functions.map(({ volatility, own }) => [volatility, own])).toEqual([
      ['volatile', true],
      ['volatile', false],
      ['stable', false],
      ['immutable', false],
      ['unknown', true],
    ]);
    expect(answer.counts).toBe(true);
  });

  it('is not misled by a hostile search_path', async () => {
    await client.rows(`savepoint s; create schema evil; create table evil.pg_class (oid oid);
      create function evil.hostile(oid, oid) returns bool language plpgsql as 'begin raise exception ''run''; end';
      create operator evil.= (leftarg = oid, rightarg = oid, function = evil.hostile);
      create function evil.hostile("char", "char") returns bool language plpgsql as 'begin raise exception ''run''; end';
      create operator evil.= (leftarg = "char", rightarg = "char", function = evil.hostile);
      create function evil.hostile(name, name) returns bool language plpgsql as 'begin raise exception ''run''; end';
      create operator evil.= (leftarg = name, rightarg = name, function = evil.hostile);
      create function evil.hostile(text, text) returns bool language plpgsql as 'begin raise exception ''run''; end';
      create operator evil.= (leftarg = text, rightarg = text, function = evil.hostile);
      set local search_path = evil, public, pg_catalog`);
    expect((await relation('parent', 'public')).columns).toHaveLength(6);
    expect((await new Catalog().ask(connection, asked('child'))).relations.size).toBe(1);
    await client.rows('rollback to s');
  });
});
