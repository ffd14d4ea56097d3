import { textArray } from '../catalog/array-parameter.ts';
import type { Column } from '../catalog/relation.ts';
import type { TableSink } from './capture.ts';
import type { PlannedTable } from './plan.ts';

/**
 * Values of the rows that a statement changes, as they were and as it has left them, by which rows of other tables may be found:
 * what a trigger changes elsewhere mostly has one of them for its key.
 */

/** Types whose values are compared with each other, by what they are compared as. */
export type Family = 'int8' | 'text' | 'uuid';

const FAMILIES: ReadonlyMap<string, Family> = new Map([
  ['int2', 'int8'],
  ['int4', 'int8'],
  ['int8', 'int8'],
  ['text', 'text'],
  ['varchar', 'text'],
  ['uuid', 'uuid'],
]);

export function familyOf({ type }: Column): Family | null {
  return type.schema === 'pg_catalog' ? (FAMILIES.get(type.name) ?? null) : null;
}

/** Beyond so many of a family none are used. */
const VALUES_MAX = 4_096;

/** Longer ones are texts, and no keys. */
const VALUE_BYTES_MAX = 128;

export class KeyValues {
  /** Integers in decimal, UUIDs in hex, and texts byte for byte. */
  readonly #families: ReadonlyMap<Family, Set<string>>;
  #full = false;

  constructor(families: Iterable<Family>) {
    this.#families = new Map([...families].map((family) => [family, new Set()]));
  }

  /** There are too many, of which some alone would prove nothing. */
  get isFull(): boolean {
    return this.#full;
  }

  count(family: Family): number {
    return this.#families.get(family)?.size ?? 0;
  }

  get families(): readonly Family[] {
    return [...this.#families.keys()];
  }

  /** An array of texts that the server reads as its values. */
  arrayOf(family: Family): Buffer {
    return textArray([...(this.#families.get(family) ?? [])].map((value) => Buffer.from(value, 'latin1')));
  }

  /** The sink, whose rows are looked at as they pass. */
  watching(sink: TableSink, { columns }: PlannedTable): TableSink {
    const wanted = columns.map((column) => {
      const family = column.binary ? familyOf(column) : null;
      return family === null ? null : (this.#families.get(family) ?? null);
    });
    if (wanted.every((values) => values === null)) return sink;
    const look = (bytes: Buffer, tuple: number) => {
      let at = tuple + 2;
      for (let i = 0; i < columns.length && !this.#full; i++) {
        const length = bytes.readInt32BE(at);
        const values = wanted[i];
        if (values != null && length >= 0 && length <= VALUE_BYTES_MAX)
          this.#add(values, columns[i]!.type.name, bytes.subarray(at + 4, at + 4 + length));
        at += 4 + Math.max(length, 0);
      }
    };
    return {
      write: (row) => {
        look(row, 0);
        return sink.write(row);
      },
      fits: (bytes) => sink.fits?.(bytes) === true,
      take: (bytes, start, end) => {
        look(bytes, start);
        sink.take?.(bytes, start, end);
      },
      room: () => (this.#full ? (sink.room?.() ?? 0) : 0),
      takeTuples: (tuples, rows) => sink.takeTuples?.(tuples, rows),
    };
  }

  #add(values: Set<string>, type: string, bytes: Buffer): void {
    values.add(textOf(type, bytes));
    if (values.size > VALUES_MAX) this.#full = true;
  }
}

function textOf(type: string, bytes: Buffer): string {
  switch (type) {
    case 'int2':
      return String(bytes.readInt16BE());
    case 'int4':
      return String(bytes.readInt32BE());
    case 'int8':
      return String(bytes.readBigInt64BE());
    case 'uuid':
      return bytes.toString('hex');
    default:
      return bytes.toString('latin1');
  }
}
