import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import type { Manifest } from '../../src/snapshot/manifest.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import type { UndoOutcome } from '../../src/undo/outcome.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { referenceOf } from '../../src/undo/restored-ties.ts';
import { previewUndo, undo } from '../../src/undo/undo.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { move } from '../trash/as-dropped.ts';

/** A function that takes all rights it can get, and hides that it has tried. */
const GREEDY = (name: string, returns: string, result: string) =>
  `CREATE OR REPLACE FUNCTION m.${name} RETURNS ${returns} LANGUAGE plpgsql AS $$ BEGIN
     BEGIN EXECUTE 'ALTER ROLE mallory SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END; RETURN ${result}; END $$`;

interface Attack {
  readonly name: string;
  readonly before: string;
  readonly drop: string;
  /** Done by mallory while it is in the trash. */
  readonly after: string;
  readonly told: RegExp;
}

const MOOD = `CREATE TYPE m.mood AS ENUM ('1'); CREATE FUNCTION m.n(m.mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
  CREATE CAST (m.mood AS int) WITH FUNCTION m.n(m.mood) AS IMPLICIT; CREATE TABLE m.p (id int PRIMARY KEY); INSERT INTO m.p VALUES (1);`;
const GREEDY_CAST = GREEDY('n(m.mood)', 'int', '1');

const ATTACKS: readonly Attack[] = [
  {
    name: 'the cast of a foreign key that comes back with the table it is of',
    before: `${MOOD} CREATE TABLE m.t (v m.mood REFERENCES m.p); INSERT INTO m.t VALUES ('1')`,
    drop: 'DROP TABLE m.t',
    after: GREEDY_CAST,
    told: /^function m\.n\(m\.mood\) of mallory, by cast from m\.mood to integer,/,
  },
  {
    name: 'that of one which comes back with the table that it refers to',
    before: `${MOOD} CREATE TABLE m.t (v m.mood REFERENCES m.p); INSERT INTO m.t VALUES ('1')`,
    drop: 'DROP TABLE m.p CASCADE',
    after: GREEDY_CAST,
    told: /^function m\.n\(m\.mood\) of mallory, by cast from m\.mood to integer,/,
  },
  {
    name: 'a cast that is not there, which the owner of the type may make at any time',
    before: `${MOOD} CREATE TABLE m.t (v m.mood REFERENCES m.p); INSERT INTO m.t VALUES ('1')`,
    drop: 'DROP TABLE m.t',
    after: 'DROP CAST (m.mood AS int)',
    told: /^type m\.mood of mallory could run/,
  },
  {
    name: 'the cast of a domain, by odd names',
    before: `${MOOD} CREATE TABLE m."P, (" ("Ä, x" int, b int, UNIQUE ("Ä, x", b)); INSERT INTO m."P, (" VALUES (1, 1);
      CREATE DOMAIN m.d AS m.mood; CREATE TABLE m."t""t" (v m.d, b int, FOREIGN KEY (v, b) REFERENCES m."P, (" ("Ä, x", b)); INSERT INTO m."t""t" VALUES ('1', 1)`,
    drop: 'DROP TABLE m."t""t"',
    after: GREEDY_CAST,
    told: /^function m\.n\(m\.mood\) of mallory, by cast from m\.mood to integer,/,
  },
  {
    name: 'the key of the whole that a partition comes back to',
    before: `CREATE FUNCTION m.k(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN v; END';
      CREATE TABLE m.p (v int) PARTITION BY LIST (m.k(v)); CREATE TABLE m.t PARTITION OF m.p FOR VALUES IN (1); INSERT INTO m.p VALUES (1)`,
    drop: 'DROP TABLE m.t',
    after: GREEDY('k(v int)', 'int', 'v'),
    told: /^function m\.k\(integer\) of mallory, by table m\.p,/,
  },
  {
    name: 'the key of a whole further up',
    before: `CREATE FUNCTION m.k(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN v; END';
      CREATE TABLE m.w (v int) PARTITION BY LIST (m.k(v)); CREATE TABLE m.p PARTITION OF m.w FOR VALUES IN (1, 2) PARTITION BY LIST (v);
      CREATE TABLE m.t PARTITION OF m.p FOR VALUES IN (1); INSERT INTO m.w VALUES (1)`,
    drop: 'DROP TABLE m.t',
    after: GREEDY('k(v int)', 'int', 'v'),
    told: /^function m\.k\(integer\) of mallory, by table m\.w,/,
  },
  {
    name: 'the cast of a foreign key that the whole has for each of its parts',
    before: `${MOOD} CREATE TABLE m.w (v m.mood REFERENCES m.p, i int) PARTITION BY LIST (i);
      CREATE TABLE m.t PARTITION OF m.w FOR VALUES IN (1); INSERT INTO m.w VALUES ('1', 1)`,
    drop: 'DROP TABLE m.t',
    after: GREEDY_CAST,
    told: /^function m\.n\(m\.mood\) of mallory, by cast from m\.mood to integer,/,
  },
];

describe.each([15, 18] as const)('whose code the undo of a DROP runs, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let folder: { readonly path: string; remove(): Promise<void> };
  let client: RawClient;
  let mallory: RawClient;
  let store: DirectoryBlobStore;
  let parser: Parser;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(`CREATE ROLE mallory LOGIN; CREATE ROLE boss LOGIN; GRANT CREATE, TEMP ON DATABASE postgres TO mallory;
      CREATE SCHEMA holdfast_trash; GRANT USAGE, CREATE ON SCHEMA holdfast_trash TO PUBLIC`);
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
    await client.rows(`ALTER ROLE mallory NOSUPERUSER; DROP SCHEMA IF EXISTS m CASCADE; CREATE SCHEMA m AUTHORIZATION mallory;
      DO $$ DECLARE t record; BEGIN FOR t IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'holdfast_trash'::regnamespace AND relkind IN ('r', 'p')
        LOOP EXECUTE 'DROP TABLE IF EXISTS ' || t.name || ' CASCADE'; END LOOP; END $$`);
  });

  async function dropped(before: string, drop: string): Promise<Manifest> {
    await mallory.rows(before);
    await mallory.rows('BEGIN');
    const outcome = await move({ parser, client: mallory, judge: client }, drop);
    await mallory.rows('COMMIT');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    const { objects, restores, notes, binds } = outcome.moved;
    return {
      format: 1,
      id: 'snap_00000000000000000000',
      created_at: new Date().toISOString(),
      gateway: '',
      session: { id: '', role: 'mallory', database: 'postgres', application: '', client: '' },
      server: { version_num: 0, encoding: 'UTF8' },
      xid: '1',
      statement: { text: drop, sha256: '', operation: 'drop table', parameters: 0 },
      decision: { rule: '', risk: 'critical' },
      approval_id: null,
      tables: [],
      dropped: { objects: [...objects], restores: [...restores], notes: [...notes], binds: [...binds] },
    };
  }

  async function undoAs(
    role: string,
    manifest: Manifest,
    { dryRun = false, trusted = [] as readonly string[] } = {},
  ) {
    const session = await connectForUndo(postgres.url('postgres', role));
    try {
      const request = { store, manifest, session, trusted };
      return { preview: await previewUndo(request), outcome: await undo(request, { dryRun }) };
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
    'it refuses %s, and runs it for its owner',
    async (_, { before, drop, after, told }) => {
      const manifest = await dropped(before, drop);
      await mallory.rows(after);
      const { preview, outcome } = await undoAs('postgres', manifest);
      expect(preview).toEqual(outcome);
      expect(reasonsOf(outcome)).toContainEqual(expect.stringMatching(told));
      expect(await isGreedy()).toBe(false);
      if (/DROP CAST/.test(after)) return;
      expect((await undoAs('mallory', manifest, { dryRun: true })).outcome).toMatchObject({ kind: 'done' });
      expect(await isGreedy()).toBe(false);
      // This is what the refusal is for.
      const trusting = await undoAs('postgres', manifest, { trusted: ['mallory'] });
      expect(trusting.outcome.kind).toBe('done');
      expect(await isGreedy()).toBe(true);
    },
  );

  it('needs no more for foreign keys and partitions that run nothing of users, whoever owns the tables', async () => {
    const manifest = await dropped(
      `CREATE TYPE m.mood AS ENUM ('a'); CREATE DOMAIN m.id AS int; CREATE FUNCTION m.f(m.mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
       CREATE CAST (m.mood AS int) WITH FUNCTION m.f(m.mood) AS ASSIGNMENT;
       CREATE FUNCTION m.g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
       CREATE TABLE m.p (id bigint PRIMARY KEY, m m.mood UNIQUE, ms m.mood[] UNIQUE, v text CHECK (m.f('a') > 0)); INSERT INTO m.p VALUES (1, 'a', '{a}');
       CREATE TABLE m.w (i int, p int REFERENCES m.p ON UPDATE CASCADE) PARTITION BY LIST (i); CREATE TABLE m.x PARTITION OF m.w DEFAULT;
       CREATE TABLE m.t PARTITION OF m.w FOR VALUES IN (1); INSERT INTO m.w VALUES (1, 1), (2, 1);
       CREATE TABLE m.u (id m.id REFERENCES m.p (id), m m.mood REFERENCES m.p (m), ms m.mood[] REFERENCES m.p (ms), other m.mood);
       INSERT INTO m.u VALUES (1, 'a', '{a}', 'a'); CREATE TRIGGER g BEFORE INSERT ON m.u FOR EACH ROW EXECUTE FUNCTION m.g()`,
      'DROP TABLE m.u',
    );
    const { preview, outcome } = await undoAs('postgres', manifest);
    expect(preview.kind).toBe('preview');
    expect(outcome.kind).toBe('done');
    const [row] = await client.rows(
      `SELECT count(*) FROM pg_constraint WHERE conrelid = 'm.u'::regclass AND contype = 'f'`,
    );
    expect(row).toEqual(['3']);
  });

  it('takes no other table for the one that a foreign key refers to', async () => {
    const manifest = await dropped(
      `CREATE TABLE m.p (id int PRIMARY KEY); CREATE TABLE m.t (v int REFERENCES m.p)`,
      'DROP TABLE m.t',
    );
    await mallory.rows('ALTER TABLE m.p RENAME TO gone');
    expect(reasonsOf((await undoAs('postgres', manifest)).outcome)).toEqual([
      '"m"."p" is not there, which it refers to',
    ]);
    await mallory.rows('ALTER TABLE m.gone RENAME TO p');
    await mallory.rows('BEGIN; ALTER TABLE m.p RENAME TO gone');
    const session = await connectForUndo(postgres.url());
    try {
      const running = undo({ store, manifest, session });
      for (;;) {
        const rows = await client.rows('SELECT count(*) FROM pg_locks WHERE NOT granted');
        if (rows[0]![0] !== '0') break;
      }
      await mallory.rows('CREATE TABLE m.p (id int PRIMARY KEY); COMMIT');
      expect(reasonsOf(await running)).toEqual([expect.stringMatching(/have changed meanwhile/)]);
    } finally {
      await session.close();
    }
  });
});

describe('a foreign key as a restore has it', () => {
  it('is read as the server writes it, or not at all', () => {
    expect(
      referenceOf(
        `ALTER TABLE "a"."b""c" ADD CONSTRAINT "x FOREIGN KEY (" FOREIGN KEY (i, "J, )", PERIOD at) REFERENCES s."T"(k, "(""", PERIOD at) ON UPDATE CASCADE`,
      ),
    ).toEqual({
      table: { schema: 'a', name: 'b"c' },
      columns: ['i', 'J, )', 'at'],
      other: { schema: 's', name: 'T' },
      others: ['k', '("', 'at'],
    });
    expect(referenceOf(`ALTER TABLE "a"."b" ADD CONSTRAINT c CHECK (x > 0)`)).toBeNull();
    expect(() => referenceOf(`ALTER TABLE "a"."b" ADD CONSTRAINT c FOREIGN KEY (i) REFERENCES t(k)`)).toThrow(
      'refused',
    );
  });
});
