import { nowMs } from '../../base/clock.ts';
import type { SessionState } from '../state.ts';

interface Known<T> {
  readonly value: T;
  readonly untilMs: number;
}

/** What sessions have learnt, for others of the same role and database. */
export class SharedByPath<T> {
  readonly known = new Map<string, Known<T>>();
  readonly entriesMax: number;
  /** Moves on when all that sessions know of it is to be forgotten. */
  generation = 0;
  /** Until then nothing is kept, because what is learnt may be changed by what nobody will be told of. */
  private unsettledUntilMs = 0;

  constructor(entriesMax: number) {
    this.entriesMax = entriesMax;
  }

  forget(unsettledMs = 0): void {
    this.generation++;
    this.known.clear();
    if (unsettledMs > 0) this.unsettledUntilMs = nowMs() + unsettledMs;
  }

  keeps(now: number): boolean {
    return now >= this.unsettledUntilMs;
  }
}

/**
 * What a session knows of names that are looked up in the search_path.
 *
 * Invariant: what is known of a name is of what the server finds by it, since it was asked under the same
 * search_path, and nothing was under way or could be taken back that may have made the name mean another.
 */
export class KnownByPath<T> {
  private readonly state: SessionState;
  private readonly shared: SharedByPath<T>;
  private readonly lastsMs: number;
  /** What is known under `path`. */
  private readonly own = new Map<string, Known<T>>();
  private path: string | null = null;
  private generation = 0;
  /** The session has made tables or changed its role, so that names may mean something else in it than in others. */
  private isApart = false;
  /** What it made them in may be taken back. */
  mayBeTakenBack = false;
  /** What may end a transaction, or take a part of it back, was sent since nothing was under way. */
  mayHaveEnded = false;
  /** Moves on whenever what was asked for may not be so any more. */
  moment = 0;
  private changes = 0;
  /** What `changes` was when the last DISCARD ALL was sent. */
  private discardedAt = -1;

  constructor(state: SessionState, shared: SharedByPath<T>, lastsMs: number) {
    this.state = state;
    this.shared = shared;
    this.lastsMs = lastsMs;
  }

  /** `moment` is that at which it was asked for. */
  learn(found: ReadonlyMap<string, T>, moment: number, lastsMs = this.lastsMs): void {
    const { knownPath } = this.state.settings;
    const { shared } = this;
    const now = nowMs();
    if (knownPath === null || moment !== this.moment || !shared.keeps(now)) return;
    this.under(knownPath);
    const untilMs = now + lastsMs;
    for (const [name, value] of found) {
      // A session may ask about more than all of them together remember.
      if (this.own.size >= shared.entriesMax) this.own.clear();
      this.own.set(name, { value, untilMs });
      if (this.isApart) continue;
      if (shared.known.size >= shared.entriesMax) shared.known.clear();
      shared.known.set(this.sharedKey(name), { value, untilMs });
    }
  }

  /** A statement is sent with which names may mean something else. */
  changed(): void {
    this.own.clear();
    this.isApart = true;
    this.mayBeTakenBack = true;
    this.changes++;
    this.moment++;
  }

  /** What ends a transaction, or takes a part of it back, is sent: names may mean what they meant before. */
  transactionEnds(): void {
    this.mayHaveEnded = true;
    this.takesBack();
  }

  /** What ends a segment is sent, which ends its transaction unless that is a block. */
  segmentEnds(isInBlock: boolean): void {
    if (!isInBlock || this.mayHaveEnded) this.takesBack();
  }

  private takesBack(): void {
    if (!this.mayBeTakenBack) return;
    this.own.clear();
    this.moment++;
  }

  discards(): void {
    this.discardedAt = this.changes;
  }

  discarded(): void {
    if (this.discardedAt === this.changes) this.isApart = false;
  }

  /** Whether something that may be taken back is settled by that. */
  ready(status: 'I' | 'T' | 'E'): boolean {
    this.mayHaveEnded = false;
    if (status !== 'I' || !this.mayBeTakenBack) return false;
    this.own.clear();
    this.mayBeTakenBack = false;
    return true;
  }

  find(name: string, now: number): T | null {
    const { knownPath } = this.state.settings;
    if (knownPath === null) return null;
    this.under(knownPath);
    const own = this.own.get(name);
    if (own !== undefined && own.untilMs > now) return own.value;
    if (this.isApart) return null;
    const shared = this.shared.known.get(this.sharedKey(name));
    if (shared === undefined || shared.untilMs <= now) return null;
    this.own.set(name, shared);
    return shared.value;
  }

  /** What was known of it under the path that was known last. */
  last(name: string): T | null {
    return this.own.get(name)?.value ?? null;
  }

  private under(path: string): void {
    if (this.path === path && this.generation === this.shared.generation) return;
    this.own.clear();
    this.path = path;
    this.generation = this.shared.generation;
  }

  private sharedKey(name: string): string {
    const { database, role } = this.state.facts;
    return JSON.stringify([database, role, this.path, name]);
  }
}
