import type { Decision } from '../policy/decision.ts';
import type { Analysis, TextFacts } from '../sql/effects.ts';

/**
 * The prepared statements and portals of one session, as PostgreSQL keeps them: one namespace of statements for
 * the protocol's Parse and SQL's PREPARE. A change counts once the server has answered that it was made. Before that
 * only the segment that has asked for it may rely on it: if it fails, so does all that follows in the segment.
 */

export interface PreparedStatement {
  /** Null where SQL PREPARE made it; its text is part of another. */
  readonly text: string | null;
  readonly analysis: Analysis;
  /** How the text was read; a later epoch reads it again. */
  readonly facts: TextFacts;
  readonly epoch: number;
}

export interface Portal {
  readonly statement: PreparedStatement;
  readonly analysis: Analysis;
  readonly decision: Decision;
  readonly parameters: number;
  readonly approvalId: string | null;
  readonly holdMs: number;
}

/** PostgreSQL keys names by their first NAMEDATALEN - 1 bytes: longer ones that agree so far are one name. */
const NAME_BYTES = 63;

/** The key of a name that stands in `bytes[start, end)`. Latin-1 keeps one character a byte, whatever the encoding. */
export function nameKey(bytes: Buffer, start: number, end: number): string {
  if (start === end) return '';
  return bytes.toString('latin1', start, Math.min(end, start + NAME_BYTES));
}

/** The key of a name as SQL text gives it. */
export function sqlNameKey(name: string): string {
  const bytes = Buffer.from(name, 'utf8');
  return nameKey(bytes, 0, bytes.length);
}

/** A change that SQL text makes: PREPARE sets a name, DEALLOCATE removes one (null), or all. */
export interface SqlNameChange {
  readonly name: string | null;
  readonly value: PreparedStatement | null;
  /** Which statement of a Query makes the change; those before the one that fails stand. */
  readonly statementIndex: number;
}

/** The name may have been changed by an earlier segment that is not answered yet. */
export const UNSETTLED = Symbol('unsettled');

export class Names<T extends object> {
  private readonly made = new Map<string, T>();
  /** What the open segment has asked for; null takes a name away. */
  private readonly open = new Map<string, T | null>();
  private openTakesAll = false;
  /** Changes asked for and not answered, by name, and those of SQL text, which may concern any name. */
  private readonly unanswered = new Map<string, number>();
  private unansweredSql = 0;
  private openSql = 0;

  get size(): number {
    return this.made.size + this.open.size;
  }

  /** What the name stands for when the next message runs; null for nothing that the gateway knows. */
  lookup(name: string): T | null | typeof UNSETTLED {
    const asked = this.open.get(name);
    if (asked !== undefined) return asked;
    if (this.openTakesAll && name !== '') return null;
    if (this.unansweredSql > this.openSql || this.unanswered.has(name)) return UNSETTLED;
    return this.made.get(name) ?? null;
  }

  /** As `lookup`, where it does no harm to be wrong for a moment. */
  peek(name: string): T | null {
    const asked = this.open.get(name);
    return asked !== undefined ? asked : (this.made.get(name) ?? null);
  }

  /** A message that makes this change has been sent. */
  ask(name: string, value: T | null): void {
    this.open.set(name, value);
    this.unanswered.set(name, (this.unanswered.get(name) ?? 0) + 1);
  }

  /** The server has answered: the change was made, or was not. */
  answer(name: string, value: T | null, wasMade: boolean): void {
    const left = (this.unanswered.get(name) ?? 1) - 1;
    if (left === 0) this.unanswered.delete(name);
    else this.unanswered.set(name, left);
    if (wasMade) this.make(name, value);
  }

  /** A message has been sent whose SQL text changes names; in a Query, which is a segment of its own, `inOpen` is false. */
  askSql(
    changes: readonly { readonly name: string | null; readonly value: T | null }[],
    inOpen: boolean,
  ): void {
    this.unansweredSql++;
    if (!inOpen) return;
    this.openSql++;
    for (const { name, value } of changes) {
      if (name !== null) this.open.set(name, value);
      else {
        for (const asked of this.open.keys()) if (asked !== '') this.open.delete(asked);
        this.openTakesAll = true;
      }
    }
  }

  /** The message asked for by `askSql` is answered in full; `inOpen` as long as its segment is still the open one. */
  answerSql(inOpen: boolean): void {
    this.unansweredSql--;
    if (inOpen && this.openSql > 0) this.openSql--;
  }

  /** The server has made the change; a null name takes all away, but for the unnamed one. */
  make(name: string | null, value: T | null): void {
    if (name === null) {
      for (const known of this.made.keys()) if (known !== '') this.made.delete(known);
    } else if (value === null) this.made.delete(name);
    else this.made.set(name, value);
  }

  /** The segment has been closed by a Sync or a Query: what follows cannot rely on it before it is answered. */
  closeSegment(): void {
    if (this.open.size > 0) this.open.clear();
    this.openTakesAll = false;
    this.openSql = 0;
  }

  /** The transaction is over, and what it made with it. */
  clearMade(): void {
    if (this.made.size > 0) this.made.clear();
  }
}
