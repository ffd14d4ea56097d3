import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, errorsOf, type RawClient, statusOf } from '../support/raw-client.ts';
import { SnapshotsTaken } from './snapshots-taken.ts';

const ROWS = `truncate precious; insert into precious values (1, 'grün'), (2, 'blau'), (3, 'rot ☃');
  drop table if exists "größe"; create table "größe" (id int, "höhe" text);
  insert into "größe" values (1, 'x')`;

const one = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute()]);

describe('the rows of a client', () => {
  let taken: SnapshotsTaken;
  let client: RawClient;
  beforeAll(async () => {
    taken = await SnapshotsTaken.start(18);
  });
  afterAll(async () => {
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

  it.each(['SJIS', 'EUC_JP', 'BIG5', 'GB18030'])('that reads %s are not captured', async (encoding) => {
    await client.query(`set client_encoding = '${encoding}'`);
    expect(reasonOf(await client.query('delete from precious where id = 2'))).toEqual([
      expect.stringContaining('the client does not write UTF-8'),
    ]);
  });
});
