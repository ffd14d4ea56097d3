import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { holdfast } from '../cli/support.ts';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { SnapshotsTaken } from './snapshots-taken.ts';

const ROWS = `truncate precious; insert into precious values (1, 'grün'), (2, 'blau'), (3, 'rot ☃');
  drop table if exists "größe"; create table "größe" (id int, "höhe" text);
  insert into "größe" values (1, 'x')`;

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: what changes, match: { operation: [update, delete, "drop *", "alter table"] }, action: snapshot }
  - { name: the rest, action: allow }
`;

const CONVERT = `create function pg_temp.conv(b bytea, f text, t text) returns bytea language plpgsql as
  $$ begin return convert(b, f::name, t::name); exception when others then return null; end $$`;

const one = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute()]);

describe('the rows of a client', () => {
  let taken: SnapshotsTaken;
  let client: RawClient;
  let direct: RawClient;
  let undo: string[];
  let env: Record<string, string>;
  beforeAll(async () => {
    taken = await SnapshotsTaken.start(18, {}, POLICY);
    direct = await RawClient.open(taken.fixture.postgres.port);
    await direct.rows(CONVERT);
    undo = [
      'undo',
      '--snapshots',
      `file:${taken.folder}`,
      '--connection',
      taken.fixture.postgres.url(),
      '--yes',
    ];
    env = { HOLDFAST_AUDIT_SIGNING_KEY: join(taken.fixture.gateway.directory, 'audit-key.pem') };
  });
  afterAll(async () => {
    direct?.destroy();
    await taken?.fixture.stop();
  });
  beforeEach(async () => {
    await taken.reset();
    await taken.fixture.postgres.sql(ROWS);
    client = await taken.fixture.client();
    return () => client.terminate();
  });

  const reasonOf = (messages: readonly BackendMessage[]) => errorsOf(messages).map(({ D }) => D);

  /** The rows before, one character a byte. */
  async function filesOf(): Promise<string[]> {
    const files = (await taken.all()).flatMap(({ tables }) => tables.flatMap(({ before }) => before ?? []));
    return files.map((file) => {
      const bytes =
        'blob' in file ? readFileSync(join(taken.folder, file.blob)) : Buffer.from(file.inline, 'base64');
      return zstdDecompressSync(bytes).toString('latin1');
    });
  }

  describe.each([
    ['LATIN1', 'gr\xfcn'],
    ['WIN1252', 'gr\xfcn'],
    ['ISO_8859_5', null],
    ['SQL_ASCII', Buffer.from('grün').toString('latin1')],
  ])('that reads %s', (encoding, green) => {
    beforeEach(async () => {
      await client.query(`set client_encoding = '${encoding}'`);
    });

    it('are captured in its encoding where its text is ASCII', async () => {
      const id = green === null ? 2 : 1;
      expect(errorsOf(await client.query(`delete from precious where id = ${id}`))).toEqual([]);
      client.write(one(`update precious set note = 'x' where id = 2`), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      const [first] = await taken.all();
      expect(first!.server.encoding).toBe(encoding);
      expect((await filesOf())[0]).toContain(green ?? 'blau');
    });

    it('in a text of several are captured likewise', async () => {
      const messages = await client.query(
        `delete from precious where id = 2; select 1; delete from precious where id = 4`,
      );
      expect(errorsOf(messages)).toEqual([]);
      expect(await taken.all()).toHaveLength(1);
    });

    it('of a table whose names are not ASCII are not', async () => {
      await taken.fixture.postgres.sql('create view plain as select id from "größe"');
      try {
        expect(reasonOf(await client.query('delete from plain'))).toEqual([
          expect.stringMatching(/is not ASCII, and the client|cannot be said in the encoding/),
        ]);
      } finally {
        await taken.fixture.postgres.sql('drop view plain');
      }
    });
  });

  it('that writes LATIN1 are captured by what it has written', async () => {
    await client.query(`set client_encoding = 'LATIN1'`);
    const latin1 = (text: string) => Buffer.from(text, 'latin1');
    expect(errorsOf(await client.query(latin1(`delete from precious where note = 'grün'`)))).toEqual([]);
    expect(await filesOf()).toEqual([expect.stringContaining('gr\xfcn')]);
    const several = await client.query(
      latin1(
        `select 'ä'; update precious set note = 'ö' where note <> 'grün' and id = 2; select 'ü', nothing`,
      ),
    );
    expect(errorsOf(several)).toMatchObject([{ C: '42703', P: '89' }]);
    expect(reasonOf(await client.query(latin1('delete from "größe"')))).toEqual([
      expect.stringContaining('not ASCII'),
    ]);
    client.write(
      fe.parse('', latin1(`delete from precious where note = 'grün'`)),
      fe.bind(),
      fe.execute(),
      fe.sync(),
    );
    expect(reasonOf(await client.untilReady())).toEqual([expect.stringContaining('not ASCII')]);
  });

  it('that cannot read them are not captured, and nothing is lost', async () => {
    await client.query(`set client_encoding = 'LATIN1'`);
    expect(reasonOf(await client.query('delete from precious where id = 3'))).toEqual([
      expect.stringContaining('cannot be said in the encoding of the client'),
    ]);
    expect(statusOf(await client.query('select 1'))).toBe('I');
    expect(await taken.fixture.preciousRows()).toBe(3);
  });

  it.each(['SJIS', 'EUC_JP', 'GBK', 'JOHAB', 'EUC_TW', 'EUC_JIS_2004', 'SHIFT_JIS_2004'])(
    'that reads %s are not captured, because not every text comes back the same',
    async (encoding) => {
      await client.query(`set client_encoding = '${encoding}'`);
      expect(reasonOf(await client.query('delete from precious where id = 2'))).toEqual([
        expect.stringContaining('not every text comes back the same'),
      ]);
    },
  );

  // What is written in them, and its bytes.
  describe.each([
    ['BIG5', '功許', 'a55cb35c'],
    ['GB18030', '功乗€☃😀', null],
    ['EUC_CN', '中文', 'd6d0cec4'],
    ['EUC_KR', '한글', 'c7d1b1db'],
    ['UHC', '한똠', 'c7d18c63'],
  ])('that reads %s', (encoding, word, bytes) => {
    beforeEach(async () => {
      await taken.fixture.postgres.sql(`update precious set note = '${word}' where id = 1`);
      await client.query(`set client_encoding = '${encoding}'`);
    });

    it('are captured in its encoding, and come back as they were', async () => {
      expect(errorsOf(await client.query('delete from precious where id = 1'))).toEqual([]);
      client.write(one(`update precious set note = 'x' where id = 2`), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      const [snapshot] = await taken.all();
      expect(snapshot!.server.encoding).toBe(encoding);
      if (bytes !== null)
        expect((await filesOf())[0]).toContain(Buffer.from(bytes, 'hex').toString('latin1'));
      const undone = await holdfast([...undo, snapshot!.id], { env });
      expect(undone.code, undone.err).toBe(0);
      const [row] = await direct.rows('select note from precious where id = 1');
      expect(row).toEqual([word]);
    });

    it('are not where a name of theirs is not ASCII', async () => {
      await direct.rows(
        `create table child (id int references precious on delete cascade, "${word}" int); create table "x${word}" (id int references precious on delete set null)`,
      );
      try {
        expect(reasonOf(await client.query('delete from precious where id = 1'))).toEqual([
          expect.stringContaining('a name of its tables is not ASCII'),
        ]);
      } finally {
        await direct.rows(`drop table child, "x${word}"`);
      }
    });

    it('are converted so that each character comes back as itself, or not at all', async () => {
      const [row] = await direct.rows(
        `with u as materialized (select pg_temp.conv(convert_to(chr(g), 'UTF8'), 'UTF8', '${encoding}') as m, convert_to(chr(g), 'UTF8') as b
           from generate_series(1, 1114111) g where g not between 55296 and 57343 and (g < 65536 or g % 97 = 0))
         select count(m) > 7000, bool_and(pg_temp.conv(m, '${encoding}', 'UTF8') = b) from u where m is not null`,
      );
      expect(row).toEqual(['t', 't']);
    });
  });

  describe('are nothing to a DROP', () => {
    const SETUP = `drop schema if exists holdfast_trash cascade; drop table if exists gone cascade; create table gone (id int primary key, "höhe" text default 'é', drop_me text);
      insert into gone values (1, 'ö', '☃'); comment on table gone is 'größer ☃'; create view "übersicht ☃" as select id from gone`;
    const dump = async () => [
      await direct.rows(
        `select attname, attnum, pg_get_expr(adbin, adrelid) from pg_attribute a left join pg_attrdef d on adrelid = attrelid and adnum = attnum
          where attrelid = 'gone'::regclass and attnum > 0 and not attisdropped order by attname`,
      ),
      await direct.rows(
        `select g.*, obj_description('gone'::regclass) from (select id, "höhe", drop_me from gone) g`,
      ),
    ];
    const settings = (messages: readonly BackendMessage[]) => messages.filter(({ type }) => type === 'S');

    describe.each(['LATIN1', 'WIN1252', 'EUC_JP', 'SJIS', 'UTF8'])(
      'of a client that reads %s',
      (encoding) => {
        beforeEach(async () => {
          await direct.rows(SETUP);
          await client.query(`set client_encoding = '${encoding}'`);
        });

        it.each([
          ['drop table gone cascade', false],
          ['drop table gone cascade', true],
          ['alter table gone drop column drop_me', false],
          [`alter table gone alter "h\u{f6}he" drop default`, true],
          ['begin; drop table gone cascade; commit', false],
        ])('%s, in a block: %s', async (sql, inBlock) => {
          // Its text is ASCII, or cannot be read.
          const text = encoding === 'UTF8' ? sql.replace('\u{f6}', 'ö') : sql.replace(/"h.*he"/, 'id');
          const before = await dump();
          const all: BackendMessage[] = [];
          if (inBlock) all.push(...(await client.query('begin')));
          const messages = await client.query(text);
          all.push(...messages);
          expect(errorsOf(messages).filter(({ D }) => !D?.includes('nothing away'))).toEqual([]);
          expect(await client.rows('show client_encoding')).toEqual([[encoding]]);
          if (inBlock) all.push(...(await client.query('commit')));
          expect(await client.rows('show client_encoding')).toEqual([[encoding]]);
          expect(settings(all)).toEqual([]);
          const [snapshot] = await taken.all();
          if (text.includes('alter id')) return;
          expect(snapshot!.server.encoding).toBe('UTF8');
          const undone = await holdfast([...undo, snapshot!.id], { env });
          expect(undone.code, undone.err).toBe(0);
          const after = await dump();
          expect(after[1]).toEqual(before[1]);
          expect(JSON.stringify(after[0]!.map(([name, , expression]) => [name, expression]))).toEqual(
            JSON.stringify(before[0]!.map(([name, , expression]) => [name, expression])),
          );
        });

        it('is refused in its words, and leaves the setting', async () => {
          for (const begin of ['select 1', 'begin']) {
            const all = [...(await client.query(begin)), ...(await client.query('drop table gone'))];
            expect(errorsOf(all)).toMatchObject([{ C: '2BP01' }]);
            const view = { UTF8: 'übersicht ☃', LATIN1: '\xfcbersicht ?', WIN1252: '\xfcbersicht ?' }[
              encoding
            ];
            const error = all.find(({ type }) => type === 'E')!.body;
            expect(
              error.includes(Buffer.from(view ?? '?bersicht ?', encoding === 'UTF8' ? 'utf8' : 'latin1')),
            ).toBe(true);
            if (begin === 'begin') all.push(...(await client.query('rollback')));
            expect(settings(all)).toEqual([]);
            expect(await client.rows('show client_encoding')).toEqual([[encoding]]);
          }
        });
      },
    );

    it('that is written in LATIN1', async () => {
      await client.query(`set client_encoding = 'LATIN1'`);
      const text = Buffer.from('drop table "größe"', 'latin1');
      expect(errorsOf(await client.query(text))).toEqual([]);
      const [snapshot] = await taken.all();
      expect(snapshot!.statement.text).toBe('drop table "größe"');
      expect((await holdfast([...undo, snapshot!.id], { env })).code).toBe(0);
      expect(await direct.rows('select "höhe" from "größe"')).toEqual([['x']]);
      client.write(fe.parse('', 'drop table other'), fe.bind(), fe.execute(), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      client.write(fe.parse('', text), fe.bind(), fe.execute(), fe.sync());
      expect(reasonOf(await client.untilReady())).toEqual([expect.stringContaining('not ASCII')]);
    });

    it('which keeps what the transaction has set itself', async () => {
      await direct.rows(SETUP);
      await client.query('begin');
      await client.query(`set local client_encoding = 'WIN1252'`);
      await client.query('drop table gone cascade');
      expect(await client.rows('show client_encoding')).toEqual([['WIN1252']]);
      await client.query('rollback');
      expect(await client.rows('show client_encoding')).toEqual([['UTF8']]);
      await client.query('begin');
      await client.query(`set client_encoding = 'WIN1251'`);
      await client.query('drop table gone cascade');
      await client.query('commit');
      expect(await client.rows('show client_encoding')).toEqual([['WIN1251']]);
    });
  });
});
