import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { describeAll, type RawClient } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';

/** The OIDs by which drivers, psql, pg_dump and pg_restore call them without SQL text. */
const [CREATE, OPEN, CLOSE, READ, WRITE, SEEK, TELL, UNLINK] = [
  715, 952, 953, 954, 955, 956, 958, 964,
] as const;
const [TRUNCATE, TRUNCATE_64] = [1004, 3172] as const;
const READ_WRITE = String(0x60000);

type Call = readonly [oid: number, ...values: string[]];

describe.each([15, 18] as const)('large objects before PostgreSQL %i', (version) => {
  const under = besideDirect(
    'mode: protect\n',
    version,
    'select lo_unlink(oid) from pg_largeobject_metadata',
  );

  /** What calls without SQL text are answered with inside a transaction, where what is held gets a ticket. */
  async function answers(client: RawClient, object: number, calls: readonly Call[], end = 'commit') {
    const said: string[] = [];
    await client.rows('begin');
    for (const [oid, ...values] of calls) {
      client.write(
        fe.functionCall(
          oid,
          oid === CREATE || oid === OPEN || oid === UNLINK ? [String(object), ...values] : values,
        ),
      );
      said.push(
        describeAll(await client.untilReady())
          .replaceAll(Buffer.from(String(object)).toString('hex'), 'OBJECT')
          .replaceAll(/,?"[FLR]":"[^"]*"/g, ''),
      );
    }
    await client.rows(end);
    return said;
  }

  async function alike(calls: readonly Call[], objects: readonly [number, number]): Promise<void> {
    const [through, directly] = objects;
    expect(await answers(under.client, through, calls)).toEqual(await answers(under.direct, directly, calls));
    const kept = `select encode(lo_get(oid), 'escape') from pg_largeobject_metadata where oid in (${objects}) order by 1`;
    const [one, other] = await under.direct.rows(kept);
    expect(one).toEqual(other);
  }

  const make = async (objects: readonly number[]) => {
    for (const object of objects) await under.direct.rows(`select lo_from_bytea(${object}, 'as it was')`);
  };

  it('are made, written, read and closed as without it', async () => {
    await alike(
      [
        [CREATE],
        [OPEN, READ_WRITE],
        [WRITE, '0', 'one'],
        [WRITE, '0', ' two'],
        [TELL, '0'],
        [SEEK, '0', '0', '0'],
        [READ, '0', '100'],
        [CLOSE, '0'],
      ],
      [50_001, 50_002],
    );
  });

  it('are written on behind their end', async () => {
    const objects = [50_003, 50_004] as const;
    await make(objects);
    await alike(
      [
        [OPEN, READ_WRITE],
        [SEEK, '0', '0', '2'],
        [WRITE, '0', ', and more'],
        [SEEK, '0', '5', '2'],
        [WRITE, '0', 'beyond'],
      ],
      objects,
    );
    await alike(
      [
        [OPEN, READ_WRITE],
        [TRUNCATE, '0', '100'],
        [TRUNCATE_64, '0', '200'],
        [READ, '0', '9'],
      ],
      objects,
    );
  });

  it.each([
    [
      'is written over',
      [
        [OPEN, READ_WRITE],
        [WRITE, '0', 'x'],
      ],
    ],
    [
      'is written over at its end',
      [
        [OPEN, READ_WRITE],
        [SEEK, '0', '-1', '2'],
        [WRITE, '0', 'xyz'],
      ],
    ],
    [
      'is cut off',
      [
        [OPEN, READ_WRITE],
        [TRUNCATE, '0', '8'],
      ],
    ],
    [
      'is cut off by a long number',
      [
        [OPEN, READ_WRITE],
        [TRUNCATE_64, '0', '0'],
      ],
    ],
    ['is removed', [[UNLINK]]],
  ] satisfies readonly [string, readonly Call[]][])(
    'what %s is held, and stays as it was',
    async (_, calls) => {
      const object = 50_005;
      await under.direct.rows(`select lo_unlink(oid) from pg_largeobject_metadata where oid = ${object}`);
      await make([object]);
      const said = await answers(under.client, object, calls, 'rollback');
      expect(said.at(-1)).toMatch(/HF001/);
      expect(await under.direct.rows(`select encode(lo_get(${object}), 'escape')`)).toEqual([['as it was']]);
    },
  );

  it('that are not open are refused by the server, in a transaction and outside', async () => {
    for (const client of [under.client, under.direct]) {
      const said = await answers(
        client,
        50_006,
        [
          [WRITE, '7', 'x'],
          [WRITE, '7', 'x'],
        ],
        'rollback',
      );
      expect(said[0]).toMatch(/42704.*invalid large-object descriptor: 7.*\n?Z E/s);
      expect(said[1]).toMatch(/25P02/);
      client.write(fe.functionCall(WRITE, ['7', 'x']));
      expect(describeAll(await client.untilReady())).toMatch(/42704/);
    }
  });

  it('are looked at by SQL, and made; what may take something away is held', async () => {
    await make([50_007]);
    const { client } = under;
    expect(await client.rows("select encode(lo_get(50007), 'escape')")).toEqual([['as it was']]);
    await client.rows("begin; select lo_open(50007, 393216); select lo_from_bytea(50008, 'new')");
    for (const sql of ["select lowrite(0, 'x')", "select lo_put(50007, 0, 'x')", 'select lo_unlink(50007)']) {
      await client.rows('savepoint a');
      expect(describeAll(await client.query(sql))).toMatch(/HF001/);
      await client.rows('rollback to a');
    }
    await client.rows('commit');
    expect(describeAll(await client.query("select lo_import('/etc/passwd')"))).toMatch(/42501/);
  });
});
