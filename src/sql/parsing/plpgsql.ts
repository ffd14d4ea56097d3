import { tokens } from './lexer.ts';

/**
 * A function in PL/pgSQL, as far as the parser tells: the SQL in it, each a text of its own.
 *
 * Invariant: what the parser leaves out of its tree, which are the values that variables of types it does not know begin
 * with, is an expression, and every name in it is among `words`, every operator among `operators`.
 */
export type PlpgsqlReading = Read | { readonly kind: 'unread'; readonly why: string };

interface Read {
  readonly kind: 'read';
  readonly statements: readonly string[];
  /** All names in its text. */
  readonly words: readonly string[];
  /** Those of them in front of a parenthesis, or behind a dot. */
  readonly calls: readonly string[];
  /** All that may be operators in its text. */
  readonly operators: readonly string[];
  /** It leaves a cursor open, whose query runs as rows are fetched. */
  readonly opensCursor: boolean;
}

/** What a function may be made of that runs no SQL but what is in its text, and ends no transaction. */
const PARTS: ReadonlySet<string> = new Set(
  `function var rec row recfield type expr stmt_block exception_block exception condition stmt_assign stmt_if
  if_elsif stmt_case case_when stmt_loop stmt_while stmt_fori stmt_fors stmt_forc stmt_foreach_a stmt_exit stmt_return
  stmt_return_next stmt_return_query stmt_raise raise_option stmt_assert stmt_execsql stmt_getdiag diag_item stmt_open
  stmt_fetch stmt_close stmt_perform`
    .split(/\s+/)
    .map((name) => `PLpgSQL_${name}`),
);

const MADE_AS_IT_RUNS = 'runs text that is made as it runs';

const NOT_READ: Readonly<Record<string, string>> = {
  PLpgSQL_stmt_dynexecute: MADE_AS_IT_RUNS,
  PLpgSQL_stmt_dynfors: MADE_AS_IT_RUNS,
  PLpgSQL_stmt_call: 'calls a procedure or runs a block of code',
  PLpgSQL_stmt_commit: 'ends transactions',
  PLpgSQL_stmt_rollback: 'ends transactions',
};

/** Reads what the parser says of a CREATE FUNCTION; `body` is the text between its quotes. */
export function readPlpgsql(tree: unknown, body: string): PlpgsqlReading {
  const found: Found = { statements: [], opensCursor: false, why: null };
  visit(tree, found);
  if (found.why !== null) return { kind: 'unread', why: found.why };
  const { statements, opensCursor } = found;
  const named = namesIn(body);
  if (named === null) return { kind: 'unread', why: NOT_UNDERSTOOD };
  return { kind: 'read', statements, opensCursor, ...named };
}

export const NOT_UNDERSTOOD = 'is not understood';

interface Found {
  readonly statements: string[];
  opensCursor: boolean;
  why: string | null;
}

function visit(value: unknown, found: Found): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) visit(item, found);
    return;
  }
  for (const [key, inner] of Object.entries(value)) {
    if (key.startsWith('PLpgSQL_') && !PARTS.has(key)) found.why ??= NOT_READ[key] ?? NOT_UNDERSTOOD;
    if (key === 'dynquery') found.why ??= MADE_AS_IT_RUNS;
    if (key === 'PLpgSQL_stmt_open') found.opensCursor = true;
    if (key === 'PLpgSQL_expr') found.statements.push(statementOf(inner, found));
    else visit(inner, found);
  }
}

/** Modes of the parser: a statement, a type's name, an expression, and assignments to targets of one name or more. */
const STATEMENT = 0;
const EXPRESSION = 2;

function statementOf(expression: unknown, found: Found): string {
  const { query, parseMode } = expression as { query?: unknown; parseMode?: unknown };
  if (typeof query !== 'string' || typeof parseMode !== 'number') {
    found.why ??= NOT_UNDERSTOOD;
    return '';
  }
  if (parseMode === STATEMENT) return query;
  if (parseMode === EXPRESSION) return `SELECT ${query}`;
  const parted = partedAssignment(query);
  if (parted === null) found.why ??= NOT_UNDERSTOOD;
  return parted ?? '';
}

/** What is assigned to may hold expressions as well, as subscripts do. */
function partedAssignment(text: string): string | null {
  let depth = 0;
  for (const { kind, start, end } of tokens(text)) {
    const symbol = kind === 'symbol' ? text.slice(start, end) : '';
    if (symbol === '(' || symbol === '[') depth++;
    if (symbol === ')' || symbol === ']') depth--;
    if (depth === 0 && symbol === '=') return `SELECT ${text.slice(0, start)} , ${text.slice(end)}`;
    if (depth === 0 && symbol === ':' && text[end] === '=')
      return `SELECT ${text.slice(0, start)} , ${text.slice(end + 1)}`;
  }
  return null;
}

/** Null where a name is written in a way that hides it. */
function namesIn(body: string): Pick<Read, 'words' | 'calls' | 'operators'> | null {
  const words = new Set<string>();
  const calls = new Set<string>();
  const operators = new Set<string>();
  let last: string | null = null;
  let isBehindDot = false;
  let symbols = '';
  let symbolsEnd = -1;
  for (const { kind, start, end } of tokens(body)) {
    if (kind === 'comment') continue;
    const text = body.slice(start, end);
    if (kind === 'symbol' && OPERATOR_SYMBOLS.includes(text)) {
      if (symbolsEnd !== start) addOperators(symbols, operators);
      symbols = symbolsEnd === start ? symbols + text : text;
      // In an assignment the first belongs to the colon.
      if (text === '=' && symbols === '=' && body[start - 1] === ':') symbols = '';
      symbolsEnd = end;
    }
    if (text === '(' && last !== null) calls.add(last);
    last = null;
    if (kind === 'quoted-name') {
      if (/^u&/i.test(text)) return null;
      last = text.slice(1, -1).replaceAll('""', '"');
    } else if (kind === 'word') last = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
    if (last !== null) words.add(last);
    if (last !== null && isBehindDot) calls.add(last);
    isBehindDot = text === '.';
  }
  addOperators(symbols, operators);
  return { words: [...words], calls: [...calls], operators: [...operators] };
}

const OPERATOR_SYMBOLS = '+-*/<>=~!@#%^&|`?';

/** Signs at the end of symbols that stand together may belong to what follows. */
function addOperators(symbols: string, operators: Set<string>): void {
  for (let name = symbols; name !== ''; name = name.slice(0, -1)) {
    operators.add(name);
    if (!/[+-]$/.test(name)) return;
  }
}
