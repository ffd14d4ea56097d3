import type { CountedRows, Decision, Draft } from '../policy/decision.ts';
import type { Analysis, RelationName, StatementEffects } from '../sql/effects.ts';
import type { ShapePieces } from '../sql/recent/shape-pieces.ts';
import { ENTRY, ITEM_HEADER_BYTES } from './block-format.ts';
import type { AuditSession } from './event.ts';
import type { Piece } from './piece.ts';

/** What the dictionary of a block says of a statement, as JSON. */
export interface StatementFacts {
  readonly operation: string;
  readonly operations: readonly string[];
  readonly tables: readonly string[];
  readonly reasons: readonly string[];
  readonly context: Readonly<Record<string, string>>;
  /** Why the text was not understood; empty where it was. */
  readonly problem: string;
}

export interface DecisionFacts {
  readonly action: Decision['action'];
  readonly would_be: Decision['wouldBe'];
  readonly draft?: Draft;
  readonly rows_counted?: RowsCounted;
  readonly risk: Decision['risk'];
  readonly rule: string;
  readonly reason: string;
  /** The snapshot that was taken, or why none was; left out where none are taken. */
  readonly snapshot?: string;
}

/** How many rows were counted before a statement was decided: `most` is null where there may be more; or why they were not. */
export type RowsCounted =
  | { readonly least: number; readonly most: number | null }
  | { readonly unknown: string };

function rowsCounted(counted: CountedRows): RowsCounted {
  return counted.kind === 'counted' ? counted.rows : { unknown: counted.reason.slice(0, NAME_LENGTH_MAX) };
}

/** What is known of an analysis: its entries, one a statement, and what came with it last. */
export interface AnalysisPieces {
  readonly statements: (Piece | undefined)[];
  decision: { readonly of: Decision; readonly piece: Piece } | null;
  /** The shape of the texts that came with it last. */
  shape: { readonly of: ShapePieces; readonly piece: Piece } | null;
  text: string | null;
  textGeneration: number;
  textRef: number;
}

/** Limits of what one statement may put into a dictionary; what is more is left out. */
const NAMES_MAX = 16;
const NAME_LENGTH_MAX = 200;
const CONTEXT_LENGTH_MAX = 2000;
/** Entries that are kept so that equal ones are encoded once. */
const INTERNED_MAX = 4096;

/** Encoded entries of sessions, statements and decisions, found by the objects that sessions share. */
export class Dictionary {
  readonly #analyses = new WeakMap<Analysis, AnalysisPieces>();
  readonly #decisions = new WeakMap<Decision, Piece>();
  #interned = new Map<string, Piece>();

  session(session: AuditSession): Piece {
    let own = session.written;
    // A copy of what was written has another name, say.
    if (own === undefined || own.of !== session) {
      own = { of: session, piece: encode(ENTRY.session, JSON.stringify(sessionFacts(session))) };
      session.written = own;
    }
    return own.piece;
  }

  decision(decision: Decision, pieces: AnalysisPieces): Piece {
    if (pieces.decision === null || pieces.decision.of !== decision)
      pieces.decision = { of: decision, piece: this.#decision(decision) };
    return pieces.decision.piece;
  }

  #decision(decision: Decision): Piece {
    let piece = this.#decisions.get(decision);
    if (piece === undefined) {
      const { action, wouldBe, risk, rule, reason, draft, counted } = decision;
      const taken = 'taken' in decision ? decision.taken : undefined;
      const facts: DecisionFacts = {
        action,
        would_be: wouldBe,
        ...(draft === undefined ? {} : { draft }),
        ...(counted === undefined ? {} : { rows_counted: rowsCounted(counted) }),
        risk,
        rule,
        reason: reason.slice(0, 1000),
        ...(taken === undefined ? {} : { snapshot: taken.slice(0, 1000) }),
      };
      piece = this.#intern(ENTRY.decision, JSON.stringify(facts));
      this.#decisions.set(decision, piece);
    }
    return piece;
  }

  /** Found by the shape of its text, where it has one, without a search. */
  analysis(analysis: Analysis, shape: ShapePieces | null): AnalysisPieces {
    if (shape === null) return this.#analysis(analysis);
    const last = shape.notes.recorded as {
      readonly of: Analysis;
      readonly by: Dictionary;
      readonly pieces: AnalysisPieces;
    } | null;
    if (last !== null && last.of === analysis && last.by === this) return last.pieces;
    const pieces = this.#analysis(analysis);
    shape.notes.recorded = { of: analysis, by: this, pieces };
    return pieces;
  }

  #analysis(analysis: Analysis): AnalysisPieces {
    let pieces = this.#analyses.get(analysis);
    if (pieces === undefined) {
      pieces = {
        statements: [],
        decision: null,
        shape: null,
        text: null,
        textGeneration: 0,
        textRef: 0,
      };
      this.#analyses.set(analysis, pieces);
    }
    return pieces;
  }

  shape(of: ShapePieces, pieces: AnalysisPieces): Piece {
    if (pieces.shape === null || pieces.shape.of !== of)
      pieces.shape = { of, piece: encode(ENTRY.shape, of.bytes) };
    return pieces.shape.piece;
  }

  /** The entry of one statement of an analysis, made where it is missing. */
  statement(analysis: Analysis, pieces: AnalysisPieces, index: number): Piece {
    let piece = pieces.statements[index];
    if (piece === undefined) {
      piece = this.#intern(ENTRY.facts, JSON.stringify(statementFacts(analysis, index)));
      pieces.statements[index] = piece;
    }
    return piece;
  }

  /** Texts that differ in a literal have the same facts, and share them. */
  #intern(kind: number, json: string): Piece {
    let piece = this.#interned.get(json);
    if (piece === undefined) {
      if (this.#interned.size >= INTERNED_MAX) this.#interned = new Map();
      piece = encode(kind, json);
      this.#interned.set(json, piece);
    }
    return piece;
  }
}

function sessionFacts(session: AuditSession): AuditSession {
  const { id, role, database, application, client } = session;
  const cut = (text: string) => text.slice(0, NAME_LENGTH_MAX);
  return { id, role: cut(role), database: cut(database), application: cut(application), client: cut(client) };
}

function encode(kind: number, content: string | Uint8Array): Piece {
  const own = Buffer.from(content);
  const bytes = Buffer.allocUnsafeSlow(ITEM_HEADER_BYTES + own.length);
  bytes.writeUInt32LE((own.length << 8) | kind);
  bytes.set(own, ITEM_HEADER_BYTES);
  return { bytes, generation: 0, ref: 0, patterns: [] };
}

function statementFacts(analysis: Analysis, index: number): StatementFacts {
  const statement = analysis.statements.length > 1 ? analysis.statements[index] : undefined;
  const only = statement ?? analysis.statements[0];
  return {
    operation: statement?.operation ?? analysis.operation,
    operations: names(only?.operations ?? []),
    tables: names(statement === undefined ? analysis.tables : tablesOf(statement)),
    reasons: names(only?.reasons ?? []),
    context: fittingContext(analysis.context),
    problem: analysis.problem.slice(0, NAME_LENGTH_MAX),
  };
}

function tablesOf(statement: StatementEffects): string[] {
  const relations = statement.writes.length > 0 ? statement.writes : statement.reads;
  return [...new Set(relations.map(relationText))];
}

function relationText(relation: RelationName): string {
  return relation.schema === null ? relation.name : `${relation.schema}.${relation.name}`;
}

function names(all: readonly string[]): string[] {
  return all.slice(0, NAMES_MAX).map((name) => name.slice(0, NAME_LENGTH_MAX));
}

function fittingContext(context: Readonly<Record<string, string>>): Record<string, string> {
  const fitting: Record<string, string> = {};
  let length = 0;
  for (const [key, value] of Object.entries(context)) {
    length += key.length + value.length;
    if (length > CONTEXT_LENGTH_MAX) break;
    fitting[key] = value;
  }
  return fitting;
}
