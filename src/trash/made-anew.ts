import type { RestoreStep } from './steps.ts';

/** What a DROP has really dropped, because it cannot be moved, and a restore makes anew from its definition. */
export interface MadeAnew {
  readonly kind: 'materialized view' | 'schema';
  /** Empty for a schema. */
  readonly schema: string;
  readonly name: string;
  /** As SQL has it. */
  readonly quoted: string;
}

const NAME = '"((?:[^"]|"")*)"';
const MADE = new RegExp(`^CREATE (MATERIALIZED VIEW|SCHEMA) (${NAME}(?:\\.${NAME})?)`);

export function madeBy(sql: string): MadeAnew | null {
  const [, word, quoted, first, second] = MADE.exec(sql) ?? [];
  if (quoted === undefined || first === undefined) return null;
  const plain = (name: string) => name.replaceAll('""', '"');
  if (word === 'SCHEMA') return { kind: 'schema', schema: '', name: plain(first), quoted };
  return { kind: 'materialized view', schema: plain(first), name: plain(second ?? ''), quoted };
}

export const madeAnew = (restores: readonly RestoreStep[]): MadeAnew[] =>
  restores.flatMap(({ sql }) => madeBy(sql) ?? []);
