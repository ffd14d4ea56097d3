import { type DropReading, readDrop } from '../../src/sql/named/drop-target.ts';
import type { Parser } from '../../src/sql/parsing/parser.ts';

/** What the one statement of a text drops or alters. */
export function readingOf(parser: Parser, sql: string): DropReading {
  const utf8 = Buffer.from(sql);
  const parse = (text: string) => {
    const outcome = parser.parse(Buffer.from(text));
    return outcome.kind === 'tree' ? outcome.tree : null;
  };
  const raw = parse(sql)?.stmts?.[0];
  if (raw === undefined) throw new Error(`not parsed: ${sql}`);
  return readDrop(raw, { utf8, parse });
}
