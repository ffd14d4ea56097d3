import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import { captureBefore } from '../../src/snapshot/capture.ts';
import { HiddenQueryError } from '../../src/snapshot/connection.ts';
import { NO_PARAMETERS, planCapture } from '../../src/snapshot/plan.ts';
import { captureAfter } from '../../src/snapshot/prove.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { Random } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { sliceOf } from './exactness.ts';

const WRITERS = 6;
const CHANGES = 25;
const ROWS = 4;

interface Change {
  readonly row: number;
  readonly before: number;
  readonly after: number;
}

type Outcome = 'changed' | 'refused' | 'drift';

/** A tuple of two int4 in binary. */
function numbersOf(tuple: Buffer): [row: number, value: number] {
  return [tuple.readInt32BE(6), tuple.readInt32BE(14)];
}

describe('captures beside other writers', () => {
  let postgres: TestPostgres;
  let parser: Parser;
  beforeAll(async () => {
    postgres = await startPostgres();
    parser = await Parser.create();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  /** One captured change in a transaction of its own, and what it says was there before and after. */
  async function change(
    client: RawClient,
    catalog: Catalog,
    sql: string,
    level: string,
    changes: Change[],
  ): Promise<Outcome> {
    await client.rows(`BEGIN ISOLATION LEVEL ${level}`);
    const connection = new HiddenClient(client);
    const images = { before: new Map<number, number>(), after: new Map<number, number>() };
    const files = {
      open: (_: unknown, image: 'before' | 'after') => ({
        write: (tuple: Buffer) => void images[image].set(...numbersOf(tuple)),
      }),
    };
    try {
      const planned = await planCapture(connection, catalog, {
        scope: '',
        slice: sliceOf(parser, sql),
        parameters: NO_PARAMETERS,
      });
      if (planned.kind !== 'exact') throw new Error(planned.reason);
      const capture = await captureBefore(connection, planned.plan, files);
      const tag = (await client.query(sql))
        .find(({ type }) => type === 'C')
        ?.body.toString('utf8')
        .slice(0, -1);
      if (tag === undefined) return 'refused';
      const proof = await captureAfter(connection, planned.plan, capture, tag, files);
      if (proof.kind === 'drift') return 'drift';
      await client.rows('COMMIT');
      for (const [row, before] of images.before) changes.push({ row, before, after: images.after.get(row)! });
      return 'changed';
    } catch (error) {
      if (error instanceof HiddenQueryError && ['40001', '40P01'].includes(error.sqlstate)) return 'refused';
      throw error;
    } finally {
      await client.query('ROLLBACK');
    }
  }

  it('prove nothing of a statement that runs in another transaction than they', async () => {
    await postgres.sql(
      'DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0)',
    );
    const client = await RawClient.open(postgres.port);
    const connection = new HiddenClient(client);
    const sql = 'UPDATE t SET n = n + 1 WHERE id = 1';
    const slice = sliceOf(parser, sql);
    const files = { open: () => ({ write: () => {} }) };
    await client.rows('BEGIN');
    const planned = await planCapture(connection, new Catalog(), {
      scope: '',
      slice,
      parameters: NO_PARAMETERS,
    });
    if (planned.kind !== 'exact') throw new Error(planned.reason);
    const capture = await captureBefore(connection, planned.plan, files);
    await client.rows('COMMIT');
    await client.rows('BEGIN');
    await client.rows(sql);
    expect(await captureAfter(connection, planned.plan, capture, 'UPDATE 1', files)).toMatchObject({
      kind: 'drift',
      reason: 'the transaction in which it was captured has ended',
    });
    await client.rows('ROLLBACK');
    await client.terminate();
  });

  it.each(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'])(
    'say of every row what came before, at %s',
    async (level) => {
      await postgres.sql(`DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, n int);
        INSERT INTO t SELECT i, 0 FROM generate_series(1, ${ROWS}) i`);
      const changes: Change[] = [];
      const outcomes: Outcome[] = [];
      const catalog = new Catalog();
      const writer = async (number: number) => {
        const random = new Random(number);
        const client = await RawClient.open(postgres.port);
        for (let i = 0; i < CHANGES; i++) {
          const row = random.between(1, ROWS);
          const where = random.pick([
            `id = ${row}`,
            `id = ${row} AND n >= 0`,
            `n = (SELECT max(n) FROM t WHERE id = ${row}) AND id = ${row}`,
          ]);
          outcomes.push(
            await change(client, catalog, `UPDATE t SET n = n + 1 WHERE ${where}`, level, changes),
          );
        }
        await client.terminate();
      };
      await Promise.all(Array.from({ length: WRITERS }, (_, i) => writer(i)));
      const final = await postgres.sql('SELECT id, n FROM t ORDER BY id');
      for (const [id, n] of final) {
        const own = changes.filter(({ row }) => row === Number(id)).sort((a, b) => a.before - b.before);
        // One after the other from the first value to the last, none lost and none twice.
        expect(own.map(({ before, after }) => [before, after])).toEqual(
          Array.from({ length: Number(n) }, (_, i) => [i, i + 1]),
        );
      }
      expect(outcomes.filter((outcome) => outcome === 'changed').length).toBeGreaterThan(WRITERS);
    },
  );
});
