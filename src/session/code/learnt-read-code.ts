import { nowMs } from '../../base/clock.ts';
import { withinMs } from '../../base/deadline.ts';
import { LIMITS } from '../../base/limits.ts';
import type { ReadCode } from '../../catalog/read-code.ts';
import { DefinitionsRead } from './definitions-read.ts';

export interface Kept {
  readonly code: ReadCode;
  readonly untilMs: number;
}

/** What sessions have learnt of code that runs as something is read, by the services that they share. */
export class LearntReadCode {
  readonly definitions = new DefinitionsRead();
  /** Moves on when all of it is to be forgotten. */
  generation = 0;
  /** Moves on when something may have changed through the gateway. */
  changes = 0;
  private readonly kept = new Map<string, Kept>();
  private readonly known = new Map<string, ReadCode>();
  /** What is being asked for, by database, so that sessions that come together ask once. */
  private readonly asking = new Map<string, Promise<ReadCode | null>>();
  private readonly large = new Map<string, number>();
  private unsettledUntilMs = 0;

  find(database: string): Kept | null {
    return this.kept.get(database) ?? null;
  }

  /** What was known last, whatever has happened since. */
  last(database: string): ReadCode | null {
    return this.known.get(database) ?? null;
  }

  forget(unsettledMs = 0): void {
    this.generation++;
    this.changes++;
    this.kept.clear();
    if (unsettledMs > 0) this.unsettledUntilMs = nowMs() + unsettledMs;
  }

  /** Code has run that may have made more. */
  shorten(database: string): void {
    this.changes++;
    const kept = this.kept.get(database);
    const untilMs = nowMs() + LIMITS.calledCodeMs;
    if (kept !== undefined && kept.untilMs > untilMs) this.kept.set(database, { ...kept, untilMs });
  }

  /** There is more in the database than is kept, so that texts alone say what reads are. */
  tooMuch(database: string): void {
    if (this.large.size >= LIMITS.catalogAnswersMax) this.large.clear();
    this.large.set(database, nowMs() + LIMITS.tableCodeMs);
  }

  hasTooMuch(database: string): boolean {
    return this.large.size > 0 && (this.large.get(database) ?? 0) > nowMs();
  }

  keep(database: string, kept: Kept): void {
    if (this.known.size >= LIMITS.catalogAnswersMax) this.known.clear();
    this.known.set(database, kept.code);
    if (nowMs() < this.unsettledUntilMs) return;
    if (this.kept.size >= LIMITS.catalogAnswersMax) this.kept.clear();
    this.kept.set(database, kept);
  }

  /** What another session is asking already counts for this one as well, unless that takes long: its client may not read. */
  async othersAnswer(database: string): Promise<ReadCode | null> {
    const { generation } = this;
    const asking = this.asking.get(database);
    if (asking === undefined) return null;
    const late = () => new Error('another session has not been told');
    const asked = await withinMs(LIMITS.previewStatementMs, asking, late).catch(() => null);
    return asked !== null && !asked.isOld && generation === this.generation ? asked : null;
  }

  async asks(database: string, answer: Promise<ReadCode | null>): Promise<ReadCode | null> {
    const { asking } = this;
    asking.set(database, answer);
    try {
      return await answer;
    } finally {
      if (asking.get(database) === answer) asking.delete(database);
    }
  }
}

const shared = new WeakMap<object, LearntReadCode>();

export function learntBy(services: object): LearntReadCode {
  let found = shared.get(services);
  if (found === undefined) {
    found = new LearntReadCode();
    shared.set(services, found);
  }
  return found;
}
