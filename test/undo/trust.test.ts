import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import type { Manifest } from '../../src/snapshot/manifest.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import type { UndoOutcome } from '../../src/undo/outcome.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { restoreInto } from '../../src/undo/restore-into.ts';
import { showRows } from '../../src/undo/show-rows.ts';
import { previewUndo, type UndoOptions, undo } from '../../src/undo/undo.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { snap } from './put-back.ts';

/** A function that takes all rights it can get, and hides that it has tried. */
const GREEDY = (name: string, returns: string, result: string, more = '') =>
  `CREATE OR REPLACE FUNCTION m.${name} RETURNS ${returns} LANGUAGE plpgsql ${more} AS $$ BEGIN
     BEGIN EXECUTE 'ALTER ROLE mallory SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END; RETURN ${result}; END $$`;

const HARMLESS = `CREATE FUNCTION m.ok(v text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
  CREATE FUNCTION m.made() RETURNS text LANGUAGE sql AS $$ SELECT 'made'::text $$`;

interface Attack {
  readonly name: string;
  /** Done by mallory before the snapshot is taken, and afterwards. */
  readonly before: string;
  readonly after: string;
  readonly statement?: string;
  /** Beginning of the reason. */
  readonly told: RegExp;
}

const TABLE = `CREATE TABLE m.t (id int PRIMARY KEY, v text); INSERT INTO m.t VALUES (1, 'a'), (2, 'b')`;

const ATTACKS: readonly Attack[] = [
  {
    name: 'a trigger',
    before: TABLE,
    after: `${GREEDY('g()', 'trigger', 'new')}; CREATE TRIGGER g BEFORE INSERT ON m.t FOR EACH ROW EXECUTE FUNCTION m.g()`,
    told: /^function m\.g\(\) of mallory, by trigger g on table m\.t,/,
  },
  {
    name: 'a trigger that is to be fired at COMMIT',
    before: TABLE,
    after: `${GREEDY('g()', 'trigger', 'new', 'SECURITY DEFINER')};
      CREATE CONSTRAINT TRIGGER g AFTER INSERT ON m.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION m.g()`,
    told: /^function m\.g\(\) of mallory, by trigger g on table m\.t,/,
  },
  {
    name: 'a check',
    before: TABLE,
    after: `${GREEDY('g(v text)', 'bool', 'true')}; ALTER TABLE m.t ADD CONSTRAINT c CHECK (m.g(v)) NOT VALID`,
    told: /^function m\.g\(text\) of mallory, by constraint c on table m\.t,/,
  },
  {
    name: 'a domain whose check was changed',
    before: `CREATE DOMAIN m.d AS text CHECK (m.ok(value)); CREATE TABLE m.t (id int PRIMARY KEY, v m.d); INSERT INTO m.t VALUES (1, 'a')`,
    after: GREEDY('ok(v text)', 'bool', 'true'),
    told: /^function m\.ok\(text\) of mallory, by table m\.t,/,
  },
  {
    name: 'a domain without a check, which may get one at any time, in a composite type',
    before: `CREATE DOMAIN m.d AS text; CREATE TYPE m.c AS (a m.d[]);
      CREATE TABLE m.t (id int PRIMARY KEY, v m.c); INSERT INTO m.t VALUES (1, ROW('{a}'))`,
    after: `${GREEDY('g(v text)', 'bool', 'true')}; ALTER DOMAIN m.d ADD CHECK (m.g(value)) NOT VALID`,
    told: /^function m\.g\(text\) of mallory/,
  },
  {
    name: 'a default of a column that is new',
    before: TABLE,
    after: `ALTER TABLE m.t ADD w text DEFAULT m.made(); ${GREEDY('made()', 'text', `'x'`)}`,
    told: /^function m\.made\(\) of mallory, by default value for column w of table m\.t,/,
  },
  {
    name: 'an index of an expression',
    before: `CREATE TABLE m.t (id int PRIMARY KEY, v text); CREATE INDEX i ON m.t ((m.ok(v))); INSERT INTO m.t VALUES (1, 'a')`,
    after: GREEDY('ok(v text)', 'bool', 'true', 'IMMUTABLE'),
    told: /^function m\.ok\(text\) of mallory, by index m\.i,/,
  },
  {
    name: 'a column that is computed',
    before: `CREATE TABLE m.t (id int PRIMARY KEY, v text, w bool GENERATED ALWAYS AS (m.ok(v)) STORED); INSERT INTO m.t VALUES (1, 'a')`,
    after: GREEDY('ok(v text)', 'bool', 'true', 'IMMUTABLE'),
    told: /^function m\.ok\(text\) of mallory, by default value for column w of table m\.t,/,
  },
  {
    name: 'a trigger of another part of the whole',
    before: `CREATE TABLE m.t (id int, v text) PARTITION BY LIST (id);
      CREATE TABLE m.t1 PARTITION OF m.t FOR VALUES IN (1); CREATE TABLE m.t2 PARTITION OF m.t FOR VALUES IN (2);
      INSERT INTO m.t VALUES (1, 'a'), (2, 'b')`,
    after: `${GREEDY('g()', 'trigger', 'new')}; CREATE TRIGGER g BEFORE INSERT ON m.t2 FOR EACH ROW EXECUTE FUNCTION m.g()`,
    told: /^function m\.g\(\) of mallory, by trigger g on table m\.t2,/,
  },
  {
    name: 'a trigger of a table that a foreign key acts on',
    before: TABLE,
    statement: `INSERT INTO m.t VALUES (1, 'x'), (3, 'c') ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
    after: `${GREEDY('g()', 'trigger', 'old')}; CREATE TABLE m.child (id int REFERENCES m.t ON DELETE CASCADE);
      CREATE TRIGGER g BEFORE DELETE ON m.child FOR EACH ROW EXECUTE FUNCTION m.g()`,
    told: /^function m\.g\(\) of mallory, by trigger g on table m\.child,/,
  },
  {
    name: 'a trigger on a table of somebody else',
    before: `${TABLE}; GRANT ALL ON m.t TO eve; GRANT ALL ON SCHEMA m TO eve`,
    after: `SET ROLE eve; CREATE FUNCTION m.e() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
      CREATE TRIGGER e BEFORE INSERT ON m.t FOR EACH ROW EXECUTE FUNCTION m.e(); RESET ROLE`,
    told: /^function m\.e\(\) of eve, by trigger e on table m\.t,/,
  },
];

describe.each([15, 18] as const)('whose code an undo runs, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let folder: { readonly path: string; remove(): Promise<void> };
  let client: RawClient;
  let mallory: RawClient;
  let store: DirectoryBlobStore;
  let parser: Parser;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(`CREATE ROLE mallory LOGIN; CREATE ROLE eve LOGIN; GRANT eve TO mallory; CREATE ROLE boss LOGIN;
      GRANT CREATE, TEMP ON DATABASE postgres TO mallory, eve`);
    folder = await temporaryFolder();
    client = await RawClient.open(postgres.port);
    mallory = await RawClient.open(postgres.port, { user: 'mallory' });
    store = new DirectoryBlobStore(folder.path);
    parser = await Parser.create();
  });
  afterAll(async () => {
    client?.destroy();
    mallory?.destroy();
    await postgres?.stop();
    await folder?.remove();
  });
  beforeEach(async () => {
    await client.rows(`ALTER ROLE mallory NOSUPERUSER; DROP SCHEMA IF EXISTS m CASCADE;
      CREATE SCHEMA m AUTHORIZATION mallory`);
  });

  async function taken(before: string, statement = 'DELETE FROM m.t WHERE id = 1'): Promise<Manifest> {
    await mallory.rows(`${HARMLESS}; ${before}`);
    const snapped = await snap({ client, store, parser }, { sql: statement, parameters: [] });
    if (snapped.kind === 'without') throw new Error(snapped.reason);
    return snapped.manifest;
  }

  async function undoAs(
    role: string,
    manifest: Manifest,
    options: UndoOptions = {},
    trusted: readonly string[] = [],
  ) {
    const session = await connectForUndo(postgres.url('postgres', role));
    try {
      const request = { store, manifest, session, trusted };
      const preview = await previewUndo(request, { triggers: options.triggers ?? 'fire' });
      return { preview, outcome: await undo(request, options) };
    } finally {
      await session.close();
    }
  }

  const isGreedy = async () => {
    const [row] = await client.rows(`SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'`);
    await client.rows('ALTER ROLE mallory NOSUPERUSER');
    return row![0] === 't';
  };

  const reasonsOf = (outcome: UndoOutcome) =>
    outcome.kind === 'refused' ? outcome.problems.map(({ reason }) => reason) : [];

  it.each(ATTACKS.map((attack) => [attack.name, attack] as const))(
    'it refuses %s, and runs it for its owner or where that is trusted',
    async (_, { before, after, statement, told }) => {
      const manifest = await taken(before, statement);
      await mallory.rows(after);
      const { preview, outcome } = await undoAs('postgres', manifest);
      expect(preview).toEqual(outcome);
      expect(reasonsOf(outcome)).toContainEqual(expect.stringMatching(told));
      expect(reasonsOf(outcome)[0]).toMatch(/with all rights of postgres; undo with a connection as/);
      expect(await isGreedy()).toBe(false);
      const owner = /of eve/.test(told.source) ? 'eve' : 'mallory';
      const asOwner = await undoAs(owner, manifest, { dryRun: true });
      expect(asOwner.outcome).toMatchObject({ kind: 'done' });
      expect((await undoAs('postgres', manifest, {}, ['boss'])).outcome).toEqual(outcome);
      expect(await isGreedy()).toBe(false);
      const forced = await undoAs('postgres', manifest, { triggers: 'skip' }, [owner]);
      expect(forced.outcome.kind).toBe('done');
    },
  );

  it('it does run what is trusted, which is what the refusal is for', async () => {
    const { before, after } = ATTACKS[0]!;
    const manifest = await taken(before);
    await mallory.rows(after);
    expect((await undoAs('postgres', manifest, {}, ['*'])).outcome.kind).toBe('done');
    expect(await isGreedy()).toBe(true);
  });

  it('needs no more where tables have no code of users at all, whoever owns them', async () => {
    const manifest = await taken(
      `CREATE TYPE m.mood AS ENUM ('a'); CREATE TABLE m.p (id int PRIMARY KEY);
       CREATE TABLE m.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n varchar(9) NOT NULL DEFAULT 'x' CHECK (n <> ''),
         p int REFERENCES m.p ON DELETE CASCADE, m m.mood[], at timestamptz DEFAULT now(), s text GENERATED ALWAYS AS (upper(n)) STORED,
         r int4range, EXCLUDE USING gist (r WITH &&));
       CREATE INDEX ON m.t (lower(n)) WHERE n <> ''; INSERT INTO m.p VALUES (1); INSERT INTO m.t (p, m) VALUES (1, '{a}'), (1, '{a,a}');
       CREATE TRIGGER same BEFORE UPDATE ON m.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
    );
    const { preview, outcome } = await undoAs('postgres', manifest);
    expect(preview).toMatchObject({ kind: 'preview', tables: [{ putBack: 1 }] });
    expect(outcome).toMatchObject({ kind: 'done', tables: [{ putBack: 1 }] });
  });

  it('runs code of superusers, and of roles that may become the one of the connection', async () => {
    const manifest = await taken(`${TABLE}; GRANT ALL ON m.t TO boss; GRANT USAGE ON SCHEMA m TO boss`);
    await client.rows(`CREATE FUNCTION m.s() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
      CREATE TRIGGER s BEFORE INSERT ON m.t FOR EACH ROW EXECUTE FUNCTION m.s()`);
    expect((await undoAs('boss', manifest, { dryRun: true })).outcome.kind).toBe('done');
    await mallory.rows(ATTACKS[0]!.after);
    expect(reasonsOf((await undoAs('boss', manifest)).outcome)).toHaveLength(1);
    await client.rows('GRANT boss TO mallory');
    expect((await undoAs('boss', manifest)).outcome.kind).toBe('done');
    await client.rows('REVOKE boss FROM mallory');
  });

  it('with its triggers skipped, it runs those alone that are for replicas', async () => {
    const manifest = await taken(TABLE);
    await mallory.rows(ATTACKS[0]!.after);
    const skip = { triggers: 'skip', dryRun: true } as const;
    expect((await undoAs('postgres', manifest, skip)).outcome.kind).toBe('done');
    await mallory.rows('ALTER TABLE m.t ENABLE REPLICA TRIGGER g');
    expect((await undoAs('postgres', manifest, { dryRun: true })).outcome.kind).toBe('done');
    expect((await undoAs('postgres', manifest, skip)).outcome.kind).toBe('refused');
    expect(await isGreedy()).toBe(false);
  });

  it('shows rows, and puts them elsewhere, without running anything of the owner of their types', async () => {
    const manifest = await taken(`CREATE TYPE m.mood AS ENUM ('a'); CREATE DOMAIN m.d AS text;
      CREATE TABLE m.t (id int PRIMARY KEY, v m.mood); INSERT INTO m.t VALUES (1, 'a')`);
    await mallory.rows(`${GREEDY('j(v m.mood)', 'json', `'0'::json`)}; CREATE CAST (m.mood AS json) WITH FUNCTION m.j(m.mood);
      ${GREEDY('x(v m.mood)', 'text', `'0'`)}; CREATE CAST (m.mood AS text) WITH FUNCTION m.x(m.mood)`);
    const session = await connectForUndo(postgres.url());
    try {
      const request = { store, manifest, session };
      for (const form of ['json', 'text'] as const) {
        const shown = await showRows(request, manifest.tables[0]!, 'before', form, { from: 0, max: 9 });
        expect(
          shown.kind === 'rows' && shown.rows.map((row) => JSON.parse(row) as { v: string }),
        ).toMatchObject([{ v: 'a' }]);
      }
      await client.rows(`INSERT INTO m.t VALUES (1, NULL)`);
      expect(await previewUndo(request)).toMatchObject({
        conflicts: [{ before: { v: 'a' }, current: { v: null } }],
      });
      expect(await isGreedy()).toBe(false);
      await mallory.rows(`CREATE TYPE m.c AS (v m.d)`);
      const [types] = await client.rows(`SELECT 'm.c'::regtype::oid`);
      const table = manifest.tables[0]!;
      const columns = table.columns.map((each, i) =>
        i === 1 ? { ...each, type: { ...each.type, oid: Number(types![0]) } } : each,
      );
      const composite = { ...manifest, tables: [{ ...table, columns }] };
      const asked = { store, manifest: composite, session };
      const into = await restoreInto(asked, { into: { schema: 'public', name: 'elsewhere' } });
      expect(reasonsOf(into)).toContainEqual(expect.stringMatching(/^type m\.c of mallory could run/));
      expect(
        await showRows(asked, composite.tables[0]!, 'before', 'json', { from: 0, max: 9 }),
      ).toMatchObject({ kind: 'refused' });
    } finally {
      await session.close();
    }
  });

  it('lets no code come while it works', async () => {
    const { before, after } = ATTACKS[8]!;
    const manifest = await taken(before);
    const session = await connectForUndo(postgres.url());
    const blocker = await RawClient.open(postgres.port);
    try {
      await blocker.rows('BEGIN; LOCK TABLE ONLY m.t1 IN ROW EXCLUSIVE MODE');
      await mallory.rows('BEGIN');
      await mallory.rows(after);
      const running = undo({ store, manifest, session });
      await untilWaiting(1);
      await blocker.rows('COMMIT');
      await mallory.rows('COMMIT');
      expect((await running).kind).toBe('refused');
      expect(await isGreedy()).toBe(false);
    } finally {
      blocker.destroy();
      await session.close();
    }
  });

  async function untilWaiting(count: number): Promise<void> {
    for (;;) {
      const rows = await client.rows('SELECT count(*) FROM pg_locks WHERE NOT granted');
      if (Number(rows[0]![0]) >= count) return;
    }
  }
});
