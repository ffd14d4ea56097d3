import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { tuplesOf } from '../../src/snapshot/tuples.ts';
import { Random, seedOfRun } from '../support/random.ts';

const message = (type: string, body: Uint8Array, length = body.length + 4): Buffer => {
  const head = Buffer.from(`${type}....`);
  head.writeInt32BE(length, 1);
  return Buffer.concat([head, body]);
};
const rowOf = (bytes: number, fill: number): Buffer =>
  Buffer.concat([Buffer.from([0, 1]), Buffer.alloc(bytes, fill)]);
const strip = (bytes: Buffer, at = 0, end = bytes.length) => {
  const { bytes: tuples, rows, stopped } = tuplesOf(bytes, at, end);
  return { tuples: Buffer.from(tuples), rows, stopped };
};

describe('tuples', () => {
  it('are the rows without their headers, one after another', () => {
    const rows = [rowOf(0, 0), rowOf(3, 1), rowOf(500, 2)];
    const bytes = Buffer.concat(rows.map((row) => message('D', row)));
    expect(strip(bytes)).toEqual({ tuples: Buffer.concat(rows), rows: 3, stopped: bytes.length });
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['another message', message('C', Buffer.from('SELECT 1\0'))],
    ['a row that is not all there', message('D', rowOf(20, 3)).subarray(0, -1)],
    ['the header of a row', message('D', rowOf(20, 3)).subarray(0, 5)],
    ['a row without a count', message('D', Buffer.alloc(1))],
    ['a length that cannot be', message('D', rowOf(9, 4), -1)],
    ['a length without end', message('D', rowOf(9, 4), 0x7fffffff)],
  ])('end in front of %s', (_, rest) => {
    const row = rowOf(10, 1);
    const first = message('D', row);
    expect(strip(Buffer.concat([first, rest]))).toEqual({ tuples: row, rows: 1, stopped: first.length });
    expect(strip(rest)).toEqual({ tuples: Buffer.alloc(0), rows: 0, stopped: 0 });
  });

  it('are those of the part that is asked for, wherever it begins and ends', () => {
    const random = new Random(seedOfRun(32));
    for (let run = 0; run < 200; run++) {
      const rows = Array.from({ length: random.between(1, 60) }, () =>
        rowOf(random.between(0, 400), random.between(0, 255)),
      );
      const lead = Buffer.alloc(random.between(0, 20), 0x44);
      const bytes = Buffer.concat([lead, ...rows.map((row) => message('D', row))]);
      const end = random.between(lead.length, bytes.length);
      let stopped = lead.length;
      const whole: Buffer[] = [];
      for (const row of rows) {
        if (stopped + row.length + 5 > end) break;
        stopped += row.length + 5;
        whole.push(row);
      }
      const expected = { tuples: Buffer.concat(whole), rows: whole.length, stopped };
      expect(strip(bytes, lead.length, end)).toEqual(expected);
    }
  });

  it('of more than is read at once are those of the beginning', () => {
    const row = rowOf(1000, 5);
    const bytes = Buffer.concat(Array.from({ length: 200 }, () => message('D', row)));
    const first = strip(bytes);
    expect(first.rows).toBe(Math.floor(LIMITS.readBufferBytes / (row.length + 5)));
    expect(strip(bytes, first.stopped).rows).toBe(first.rows);
  });
});
