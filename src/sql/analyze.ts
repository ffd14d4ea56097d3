import { isUtf8 } from 'node:buffer';
import type { ParseResult, RawStmt } from '@pgsql/types';
import { assert } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import { contextOf } from './context.ts';
import {
  type Analysis,
  type AnalysisStatus,
  isFollowed,
  RISKS,
  type StatementEffects,
  type TextFacts,
} from './effects.ts';
import { losesCatalog } from './facts/search-path.ts';
import type { Parser } from './parsing/parser.ts';
import { tooDeep } from './parsing/prescan.ts';
import { unwrap } from './parsing/tree.ts';
import { redact } from './secrets/redact.ts';
import { GRAMMAR } from './walk/grammar.ts';
import { rowsBoundOf } from './walk/rows-bound.ts';
import { type TextNotes, Walk } from './walk/walk.ts';

/** An analysis, and whether it holds for every text of the same shape, whatever its literals are. */
export interface AnalysisOutcome {
  readonly analysis: Analysis;
  readonly literalInsensitive: boolean;
}

const TABLES_MAX = 16;
const NO_CONTEXT: Readonly<Record<string, string>> = Object.freeze({});

/** The kinds of statement whose literals are values and nothing else. */
const TEMPLATE_STATEMENTS: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'ExecuteStmt',
]);

/** Analyses one text: its bytes as they came, without the terminating NUL. */
export function analyzeBytes(parser: Parser, bytes: Uint8Array, facts: TextFacts): AnalysisOutcome {
  const decoded = decode(bytes, facts);
  if (decoded.kind === 'opaque') return notParsed('opaque', decoded.problem, decoded.text);
  const { text } = decoded;
  const problem = bytes.length > LIMITS.parseBytes ? 'the text is too long' : tooDeep(text);
  if (problem !== null) return notParsed('opaque', problem, text);
  if (text.trim() === '') return empty(text);
  const outcome = parser.parse(decoded.utf8);
  switch (outcome.kind) {
    case 'broken':
      return notParsed('failed', `the parser failed: ${outcome.message}`, text);
    case 'refused':
      return notParsed('unparsable', outcome.message, text);
    case 'tree':
      return understood(outcome.tree, text, decoded, facts);
    default:
      throw outcome satisfies never;
  }
}

interface Decoded {
  readonly kind: 'text';
  readonly text: string;
  readonly utf8: Uint8Array;
  /** Whether a byte of the text is a byte of the UTF-8 that the parser counts in. */
  readonly sameBytes: boolean;
}

type Decoding = Decoded | { readonly kind: 'opaque'; readonly problem: string; readonly text: string };

function decode(bytes: Uint8Array, facts: TextFacts): Decoding {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const latin1 = buffer.latin1Slice();
  const opaque = (problem: string): Decoding => ({ kind: 'opaque', problem, text: buffer.utf8Slice() });
  if (buffer.includes(0)) return opaque('the text contains a zero byte');
  if (!facts.standardConformingStrings && /\\|u&/i.test(latin1)) {
    return opaque('the text contains a backslash while standard_conforming_strings is off');
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is that of ASCII.
  if (/^[\x00-\x7f]*$/.test(latin1)) return { kind: 'text', text: latin1, utf8: bytes, sameBytes: true };
  switch (facts.encoding) {
    case 'utf8':
      if (!isUtf8(buffer)) return opaque('the text is not valid UTF-8');
      return { kind: 'text', text: buffer.utf8Slice(), utf8: bytes, sameBytes: true };
    case 'latin1':
      return { kind: 'text', text: latin1, utf8: Buffer.from(latin1, 'utf8'), sameBytes: false };
    case 'ascii-only':
      return opaque('the text has bytes that its encoding does not let us read');
    default:
      throw facts.encoding satisfies never;
  }
}

function understood(tree: ParseResult, text: string, decoded: Decoded, facts: TextFacts): AnalysisOutcome {
  const stmts = tree.stmts ?? [];
  if (stmts.length === 0) return empty(text);
  const redaction = redact(text, true);
  const notes = { literalsRead: false, unseenChars: redaction?.unseenChars ?? 0 };
  let statements: StatementEffects[];
  try {
    let { catalogFirst } = facts;
    statements = stmts.map((raw, index) => {
      const effects = statement(raw, index, stmts, decoded, { ...facts, catalogFirst }, notes);
      catalogFirst &&= !effects.session.some(losesCatalog);
      return effects;
    });
  } catch (error) {
    if (error instanceof RangeError) return notParsed('opaque', 'the statement is nested too deep', text);
    // A mistake of ours is no reason to let a statement pass, nor to end the session that sent it.
    return notParsed('failed', `the analysis failed: ${String(error)}`, text);
  }
  const redacted = redaction?.text ?? null;
  const context = contextOf(text);
  const kind = unwrap(stmts[0]?.stmt)?.name ?? '';
  const literalInsensitive =
    !notes.literalsRead &&
    stmts.length === 1 &&
    redacted === null &&
    context === null &&
    TEMPLATE_STATEMENTS.has(kind);
  return {
    analysis: assemble('parsed', '', statements, redacted, context ?? NO_CONTEXT),
    literalInsensitive,
  };
}

function statement(
  raw: RawStmt,
  index: number,
  all: readonly RawStmt[],
  decoded: Decoded,
  facts: TextFacts,
  notes: TextNotes,
): StatementEffects {
  const walk = new Walk(GRAMMAR, facts.catalogFirst, notes);
  walk.visit(raw.stmt);
  walk.rowsAtMost(rowsBoundOf(raw, facts.catalogFirst));
  const start = raw.stmt_location ?? 0;
  const next = all[index + 1]?.stmt_location ?? decoded.utf8.length;
  const length = raw.stmt_len ?? next - start;
  if (decoded.sameBytes) return walk.finish(start, length);
  const before = charactersOf(decoded.utf8.subarray(0, start));
  return walk.finish(before, charactersOf(decoded.utf8.subarray(start, start + length)));
}

function charactersOf(utf8: Uint8Array): number {
  return Buffer.from(utf8.buffer, utf8.byteOffset, utf8.byteLength).utf8Slice().length;
}

function empty(text: string): AnalysisOutcome {
  const analysis = assemble(
    'empty',
    '',
    [],
    redact(text, false)?.text ?? null,
    contextOf(text) ?? NO_CONTEXT,
  );
  return { analysis, literalInsensitive: false };
}

/** What is not understood is one unknown statement. */
export function notParsed(status: AnalysisStatus, problem: string, text: string): AnalysisOutcome {
  assert(status !== 'parsed' && status !== 'empty', 'a text that was not understood says so');
  const redaction = redact(text, false);
  const notes = { literalsRead: false, unseenChars: redaction?.unseenChars ?? 0 };
  const walk = new Walk(GRAMMAR, false, notes);
  walk.operation('unknown', 'critical', 'is not understood');
  walk.opaque('critical', 'is not understood');
  const statements = [walk.finish(0, Buffer.byteLength(text))];
  const redacted = redaction?.text ?? null;
  // The grammar's messages quote the text, which may be the very secret that was masked.
  const said = redacted === null ? problem : problem.replace(/".*"/s, '"***"');
  return { analysis: assemble(status, said, statements, redacted, NO_CONTEXT), literalInsensitive: false };
}

function assemble(
  status: AnalysisStatus,
  problem: string,
  statements: readonly StatementEffects[],
  redacted: string | null,
  context: Readonly<Record<string, string>>,
): Analysis {
  let worst = statements[0];
  for (const each of statements) {
    if (worst === undefined || RISKS.indexOf(each.risk) > RISKS.indexOf(worst.risk)) worst = each;
  }
  return Object.freeze({
    status,
    problem,
    statements: [...statements],
    risk: worst?.risk ?? 'safe',
    operation: worst?.operation ?? 'empty',
    tables: tablesOf(statements),
    redacted,
    context,
    touchesSession: statements.some((each) => each.session.some(isFollowed)),
  });
}

function tablesOf(statements: readonly StatementEffects[]): readonly string[] {
  const names = (pick: 'reads' | 'writes') =>
    statements.flatMap((each) =>
      each[pick].map(({ schema, name }) => (schema === null ? name : `${schema}.${name}`)),
    );
  const written = names('writes');
  const tables = new Set(written.length > 0 ? written : names('reads'));
  return Object.freeze([...tables].slice(0, TABLES_MAX));
}

/** The analysis of a text's shape: it holds for other literals, so it knows no positions. */
export function asTemplate(analysis: Analysis): Analysis {
  const statements = analysis.statements.map((each) =>
    Object.freeze({ ...each, startByte: -1, lengthBytes: -1 }),
  );
  return Object.freeze({ ...analysis, statements, templated: true as const });
}
