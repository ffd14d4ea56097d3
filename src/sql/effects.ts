/**
 * What a statement would do, as far as its text tells. These are plain frozen values, shared by every session
 * that runs the same text; nothing in them depends on a connection.
 */

export const RISKS = ['safe', 'low', 'high', 'critical', 'forbidden'] as const;
export type Risk = (typeof RISKS)[number];

export function worseRisk(a: Risk, b: Risk): Risk {
  return RISKS.indexOf(a) >= RISKS.indexOf(b) ? a : b;
}

/** A relation as the text names it; `schema` is null where the text leaves it to search_path. */
export interface RelationName {
  readonly schema: string | null;
  readonly name: string;
}

/** Code that a text names and does not show, where everything else about the text is known. */
export interface CalledCode {
  /** What the risk would be if none of it did more than compute and read. */
  readonly risk: Risk;
  /** Functions; `schema` is null where the text leaves it to search_path. */
  readonly functions: readonly RelationName[];
  /** Attributes of values, each of which is a call where its value has none of that name. */
  readonly attributes: readonly string[];
  /** Names of operators, of whatever schema. */
  readonly operators: readonly string[];
  /** Relations that have to be PostgreSQL's own, where a temporary table of the name would be found before them. */
  readonly catalogRelations?: readonly string[];
}

/** In the names of the functions that a statement calls: of a type that it casts to. */
export const TYPE_PREFIX = 'type(';

/**
 * Names of columns and of PostgreSQL's operators, behind which other code stands where the database has some that fits:
 * `t.f` is `f(t)` where t has no column f.
 */
export interface AmbiguousNames {
  /** Columns by the name of a row, of a table or a subquery. */
  readonly ofRows: readonly string[];
  /** The same of what may be a value of any type, such as what a function in FROM gives. */
  readonly ofValues: readonly string[];
  readonly operators: readonly string[];
}

/** A column that is read or written, as far as the text tells; `table` is null where it cannot be told. */
export interface ColumnName {
  readonly table: RelationName | null;
  readonly name: string;
}

/** How a write says which rows: `unscoped` has no predicate or a tautology, which `tautology` tells apart. */
export type Predicate = 'not-applicable' | 'none' | 'tautology' | 'scoped' | 'cursor';

/** What a statement does to the session that runs it, beyond the rows it touches. */
export type SessionEffect =
  | { readonly kind: 'prepare'; readonly name: string; readonly effects: StatementEffects }
  /** `ownRisk` is that of the statement but for what it executes, which alone makes it critical. */
  | { readonly kind: 'execute'; readonly name: string; readonly ownRisk?: Risk }
  | { readonly kind: 'deallocate'; readonly name: string | null }
  | { readonly kind: 'discard'; readonly target: 'all' | 'plans' | 'sequences' | 'temp' }
  | { readonly kind: 'declare-cursor'; readonly name: string }
  | { readonly kind: 'close-cursor'; readonly name: string | null }
  /** `value` is null where the text does not tell it (a default, an expression, FROM CURRENT). */
  | { readonly kind: 'set'; readonly name: string; readonly value: string | null; readonly local: boolean }
  /** `name` is null for RESET ALL. */
  | { readonly kind: 'reset'; readonly name: string | null }
  /** `savepoint` is given where one is named. */
  | { readonly kind: 'transaction'; readonly verb: TransactionVerb; readonly savepoint?: string }
  /** DDL that may change what names or prepared statements mean. */
  | { readonly kind: 'schema-change' }
  /** Code runs whose effects the text does not tell: DO, CALL, a function that is not known to be harmless. */
  | { readonly kind: 'opaque-code' };

/**
 * Whether the session has to do anything about it; transactions are told of by the server, and their ends are
 * looked at where they may put settings back.
 */
export function isFollowed(effect: SessionEffect): boolean {
  return effect.kind !== 'transaction';
}

export type TransactionVerb =
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'release'
  | 'rollback-to'
  | 'prepare'
  | 'commit-prepared'
  | 'rollback-prepared';

/**
 * An analysis is frozen, since all who send its like share it, but for the lists of these names, of which the elements are
 * read for every statement: of a frozen one V8 reads them by a call.
 */
export const READ_OFTEN: ReadonlySet<string> = new Set(['statements', 'session', 'operations']);

/** The effects of one statement. */
export interface StatementEffects {
  /**
   * What the statement is, in words that policies use and the audit shows: the SQL command in lower case,
   * like `select`, `delete`, `drop table`, `alter table`, `copy from program`, `unknown`.
   */
  readonly operation: string;
  /** Every operation found inside it as well: `with d as (delete …) select` is a select with a delete. */
  readonly operations: readonly string[];
  readonly risk: Risk;
  /** Why the risk is what it is, a short phrase each, worst first: `delete without WHERE`, `drops a table`. */
  readonly reasons: readonly string[];
  /** How many of the reasons make it high, where that is its risk. */
  readonly highReasons?: number | undefined;
  readonly reads: readonly RelationName[];
  readonly writes: readonly RelationName[];
  readonly columns: readonly ColumnName[];
  /** Names of functions called, schema-qualified where the text does so. */
  readonly functions: readonly string[];
  readonly predicate: Predicate;
  readonly session: readonly SessionEffect[];
  /** What makes its risk worse by its name alone, where anything does. */
  readonly called?: CalledCode | undefined;
  /** What its text does not tell whose code it is, although it reads like PostgreSQL's own; where there is any. */
  readonly ambiguous?: AmbiguousNames | undefined;
  /** How many rows it writes at most, where its text tells; not those that triggers, rules and foreign keys write. */
  readonly rowsMax?: number | undefined;
  /** Of what a TRUNCATE names, the tables that it empties without those that inherit from them. */
  readonly only?: readonly RelationName[] | undefined;
  /** Bytes of the text where this statement starts and how long it is. */
  readonly startByte: number;
  readonly lengthBytes: number;
}

/** How far the text was understood. Anything but `parsed` and `empty` is critical. */
export type AnalysisStatus =
  | 'parsed'
  | 'empty'
  /** The grammar refuses it; the server will most likely say so as well. */
  | 'unparsable'
  /** It cannot be read as the server reads it (encoding, standard_conforming_strings), or is too large or deep. */
  | 'opaque'
  /** The parser failed or took too long. */
  | 'failed';

/** The effects of one text, which may hold several statements. */
export interface Analysis {
  readonly status: AnalysisStatus;
  /** Why the status is not `parsed`; empty otherwise. */
  readonly problem: string;
  /** One for each statement, in order. Never empty unless the status is `empty`; one `unknown` where not parsed. */
  readonly statements: readonly StatementEffects[];
  /** The worst of the statements. */
  readonly risk: Risk;
  /** The operation of the worst statement. */
  readonly operation: string;
  /** Written relations, or read ones where nothing is written, as `schema.name` or `name`, at most 16. */
  readonly tables: readonly string[];
  /** The text with passwords and connection strings masked, or null where there was nothing to mask. */
  readonly redacted: string | null;
  /** Key and value pairs of the statement's context comment; the client's word, unauthenticated. */
  readonly context: Readonly<Record<string, string>>;
  /**
   * True where a statement does anything to the session that the session must follow (see SessionEffect);
   * false lets the hot path skip looking.
   */
  readonly touchesSession: boolean;
  /**
   * True where the analysis is that of the text's shape, shared by texts that differ in literals only:
   * `startByte` and `lengthBytes` are then -1, and the one statement is the whole text.
   */
  readonly templated?: true;
}

/**
 * How the server reads a text on this session. The parser agrees with PostgreSQL only where
 * `standardConformingStrings` is on and the bytes are those of `encoding`; all else is opaque.
 */
export interface TextFacts {
  /** `ascii-only`: an encoding whose bytes above 127 we do not read; a text that has some is opaque. */
  readonly encoding: 'utf8' | 'latin1' | 'ascii-only';
  readonly standardConformingStrings: boolean;
  /**
   * Whether unqualified functions and operators surely mean those of pg_catalog: true unless the session has
   * put another schema before it. Where false, nothing that calls a function or operator is safe.
   */
  readonly catalogFirst: boolean;
}

export const DEFAULT_TEXT_FACTS: TextFacts = Object.freeze({
  encoding: 'utf8',
  standardConformingStrings: true,
  catalogFirst: true,
});
