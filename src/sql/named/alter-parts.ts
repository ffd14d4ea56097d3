import type { RawStmt } from '@pgsql/types';
import { as, type Fields, list } from '../parsing/tree.ts';
import { type ParseSlice, sameTree } from '../slices/slice-check.ts';
import { SliceText } from '../slices/slice-text.ts';

/** The text of a statement, and the parser to read what is cut out of it. */
export interface TextOf {
  readonly utf8: Buffer;
  readonly parse: ParseSlice;
}

/**
 * An ALTER TABLE as two: one of its subcommands that are wanted, and one of the rest. They are cut at the commas between
 * them, parsed again, and compared with the original's tree; null where that does not come out.
 */
export function alterInTwo(
  raw: RawStmt,
  { utf8, parse }: TextOf,
  wanted: (command: Fields) => boolean,
): readonly [string, string] | null {
  const alter = as(raw.stmt, 'AlterTableStmt');
  const relation = alter?.['relation'] as Fields | undefined;
  if (alter === null || relation === undefined) return null;
  const start = raw.stmt_location ?? 0;
  const length = raw.stmt_len ?? 0;
  const text = SliceText.of(utf8, start, length > 0 ? start + length : utf8.length);
  const { tokens } = text;
  let at = tokens.findIndex(({ start }) => start === relation['location']);
  if (at < 0) return null;
  while (tokens[at + 1]?.text === '.') at += 2;
  if (tokens[at + 1]?.text === '*') at++;
  const head = tokens[at]?.end;
  if (head === undefined) return null;
  const commas = tokens.slice(at + 1).filter((token) => token.text === ',' && token.depth === 0);
  const bounds = [head, ...commas.map(({ end }) => end)];
  const ends = [
    ...commas.map((token) => token.start),
    text.startOf(tokens.findIndex(({ text: each }) => each === ';')),
  ];
  const commands = list(alter['cmds']);
  if (commands.length !== bounds.length) return null;
  const of = (which: boolean): string | null => {
    const chosen = commands.flatMap((command, i) =>
      wanted(as(command, 'AlterTableCmd') ?? {}) === which ? [i] : [],
    );
    const pieces = chosen.map((i) => text.cut(bounds[i]!, ends[i]!));
    // A piece may end in a comment that goes on to the end of its line.
    const sql = `${text.cut(start, head)} ${pieces.join('\n,')}\n`;
    const [only, ...others] = parse(sql)?.stmts ?? [];
    const cmds = chosen.map((i) => commands[i]);
    const same = others.length === 0 && sameTree(only?.stmt, { AlterTableStmt: { ...alter, cmds } });
    return same ? sql : null;
  };
  const [some, rest] = [of(true), of(false)];
  return some === null || rest === null ? null : [some, rest];
}
