import type { Decision } from '../policy/decision.ts';
import type { Analysis, TextFacts } from '../sql/effects.ts';

/**
 * The prepared statements and portals of one session, as PostgreSQL keeps them: one namespace of statements for
 * the protocol's Parse and SQL's PREPARE. Changes are applied when a message is sent, ahead of the server, and
 * taken back if the server's reply says that it did not come to pass (see Reply).
 */

export interface PreparedStatement {
  /** Null where SQL PREPARE made it; its text is part of another. */
  readonly text: string | null;
  readonly analysis: Analysis;
  /** How the text was read; a later epoch reads it again. */
  readonly facts: TextFacts;
  readonly epoch: number;
  /** Number of the segment that made it; until that is answered, a later one cannot rely on it. */
  readonly segment: number;
  /** It was closed, and stands here until that is answered. */
  readonly closed: boolean;
}

export interface Portal {
  readonly statement: PreparedStatement;
  readonly analysis: Analysis;
  readonly decision: Decision;
  readonly parameters: number;
  readonly approvalId: string | null;
  readonly holdMs: number;
  /** Number of the segment that bound it; portals of earlier ones end with their transaction. */
  readonly segment: number;
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

/** One change of a map, with what it takes to undo it. */
export interface Undo {
  readonly undo: () => void;
  /** Which statement of a Query makes the change; those before the one that failed stand. */
  readonly statementIndex: number;
}

export class Names<T> {
  private readonly entries = new Map<string, T>();

  get(name: string): T | undefined {
    return this.entries.get(name);
  }

  get size(): number {
    return this.entries.size;
  }

  /** Sets a name and returns what stood there. */
  set(name: string, value: T): T | undefined {
    const previous = this.entries.get(name);
    this.entries.set(name, value);
    return previous;
  }

  delete(name: string): T | undefined {
    const previous = this.entries.get(name);
    if (previous !== undefined) this.entries.delete(name);
    return previous;
  }

  /** Puts back what `set` or `delete` returned. */
  restore(name: string, previous: T | undefined): void {
    if (previous === undefined) this.entries.delete(name);
    else this.entries.set(name, previous);
  }

  /** Drops what `ended` says has ended. */
  drop(ended: (value: T) => boolean): void {
    for (const [name, value] of this.entries) if (ended(value)) this.entries.delete(name);
  }

  /** Empties the map and returns how to fill it again. */
  clear(): () => void {
    if (this.entries.size === 0) return () => {};
    const saved = [...this.entries];
    this.entries.clear();
    return () => {
      for (const [name, value] of saved) this.entries.set(name, value);
    };
  }
}
