import type { AuditEntry } from '../../../audit/event.ts';

export interface PlainEnd {
  readonly status: 'I' | 'T' | 'E';
  readonly failed: boolean;
}

/**
 * A run of statements of a Query that is sent as a Query of its own, uncaptured. Its replies pass to the client, apart
 * from its ReadyForQuery and, where a commit of the gateway's has to come first, what tells that its last one succeeded.
 */
export class PlainPart {
  /** Resolves when the server is ready again, or gone. */
  readonly over: Promise<PlainEnd | 'lost'>;
  /** What was kept from the client. */
  keptTag: string | null = null;
  /** The event of its last statement. */
  lastEntry: AuditEntry | null = null;
  private readonly end: number;
  private readonly keeps: boolean;
  private hasFailed = false;
  private resolve!: (end: PlainEnd | 'lost') => void;

  /** `end` is the index of the statement behind its last in the client's text. */
  constructor(end: number, keeps: boolean) {
    this.end = end;
    this.keeps = keeps;
    this.over = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  isOver(statementsDone: number): boolean {
    return statementsDone >= this.end;
  }

  /** The last statement has succeeded. */
  completed(tag: string, entry: AuditEntry | null): 'forward' | 'skip' {
    this.lastEntry = entry;
    if (!this.keeps) return 'forward';
    this.keptTag = tag;
    return 'skip';
  }

  /** The server has refused a statement of it, and runs none behind it. */
  failed(_sqlstate: string | null): void {
    this.hasFailed = true;
  }

  ready(status: 'I' | 'T' | 'E'): void {
    this.resolve({ status, failed: this.hasFailed });
  }

  lost(): void {
    this.resolve('lost');
  }
}
