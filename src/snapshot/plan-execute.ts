import { quoteLiteral } from '../catalog/quote.ts';
import { textColumns } from '../catalog/row.ts';
import type { ExecuteSlice, WriteSlice } from '../sql/slices/slice.ts';
import { plainQuery } from './capture.ts';
import type { HiddenConnection } from './connection.ts';
import type { StatementParameters } from './plan.ts';

/** EXECUTE: the rows are those of the statement that was prepared, with the values that EXECUTE gives. */

/** What is prepared under a name, as far as the session has seen it: its text, and that taken apart. */
export interface PreparedText {
  /** The name as the server keeps it. */
  readonly name: string;
  readonly text: string;
  readonly slice: WriteSlice;
}

export type Executed =
  | { readonly slice: WriteSlice; readonly parameters: StatementParameters }
  | { readonly problem: string };

/** The first OID of types that are not PostgreSQL's own, and its own types without a binary form. */
const OWN_TYPES = 16384;
const TEXT_ONLY: ReadonlySet<number> = new Set([1033, 3642]);

type Type = readonly [oid: number, name: string];

export async function whatIsExecuted(
  connection: HiddenConnection,
  { name, values }: ExecuteSlice,
  prepared: ((name: string) => Promise<PreparedText | null>) | null,
): Promise<Executed> {
  const known = prepared === null ? null : await prepared(name);
  if (known === null) return { problem: 'what it executes is not known by its text' };
  let told: (string | null)[] = [];
  await connection.run(plainQuery(typesOf(known.name)), (row) => {
    told = textColumns(row);
  });
  const [text, typesJson] = told;
  // What the server has is what runs.
  if (text !== known.text) return { problem: 'what it executes is not what was seen prepared' };
  const types = JSON.parse(typesJson ?? '[]') as readonly Type[];
  if (types.length !== values.length) return { problem: 'it executes with another number of values' };
  const odd = types.find(([oid]) => oid >= OWN_TYPES || TEXT_ONLY.has(oid));
  if (odd !== undefined) return { problem: `it executes with a value of the type ${odd[1]}` };
  if (types.length === 0) return { slice: known.slice, parameters: { types: [], values: [], formats: [] } };
  const cast = values.map((value, i) => `(${value}\n)::pg_catalog.${types[i]![1]}`);
  let parameters: (Buffer | null)[] = [];
  const query = { ...plainQuery(`SELECT ${cast.join(', ')}`), resultFormats: [1 as const] };
  await connection.run(query, (row) => {
    parameters = columnsOf(row);
  });
  return {
    slice: known.slice,
    parameters: {
      types: types.map(([oid]) => oid),
      values: parameters,
      formats: types.map(() => 1),
    },
  };
}

function typesOf(name: string): string {
  return `SELECT p.statement, (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(t.oid::pg_catalog.int8, pg_catalog.quote_ident(t.typname)) ORDER BY u.at)
      FROM pg_catalog.unnest(p.parameter_types::pg_catalog.oid[]) WITH ORDINALITY u(oid, at)
      JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) u.oid)
    FROM pg_catalog.pg_prepared_statements p WHERE p.name OPERATOR(pg_catalog.=) ${quoteLiteral(name)}`;
}

/** Copies, because a row is valid only while it is taken. */
function columnsOf(row: Buffer): (Buffer | null)[] {
  const out: (Buffer | null)[] = [];
  let at = 2;
  for (let i = row.readUInt16BE(0); i > 0; i--) {
    const length = row.readInt32BE(at);
    at += 4;
    out.push(length < 0 ? null : Buffer.from(row.subarray(at, at + length)));
    at += Math.max(0, length);
  }
  return out;
}
