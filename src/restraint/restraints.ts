import { type ActionLog, recordAction } from '../audit/recorded-action.ts';
import { nowMs } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { ControlStore } from '../store/control-store.ts';
import { Attempts } from './attempts.ts';
import type { Actor, Pause, Quarantine, QuarantineRule, Restraint, Restraints } from './restraint.ts';
import { restraintOf, rowOf } from './stored.ts';

export interface RestraintsDeps {
  readonly store: ControlStore;
  readonly audit: ActionLog;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Null where nobody comes into quarantine by what it tries. */
  readonly rule: QuarantineRule | null;
}

/** Who puts or lifts a restraint. */
export interface Restrainer {
  readonly by: string;
  readonly client: string;
}

export type RestraintListener = (restraint: Restraint, change: 'begun' | 'lifted' | 'expired') => void;

export interface WantedQuarantine {
  readonly role: string;
  readonly application: string | null;
  readonly reason: string;
  readonly forMs: number | null;
}

/** What a timer can wait at most; a longer one would ring at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * The pause and the quarantines of this gateway. What is put holds from then on, before the store has it; what is
 * lifted holds until the store has that. So a store that fails can only leave too much held back.
 */
export class StoredRestraints implements Restraints {
  readonly #deps: RestraintsDeps;
  readonly #attempts: Attempts | null;
  readonly #quarantines = new Map<string, Quarantine>();
  /** Of which nobody has been told yet that they have begun. */
  readonly #untold = new Set<string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #listeners = new Set<RestraintListener>();
  #pause: Pause | null = null;
  /** The last pause that somebody has put, and whether it could be stored; rejected where that may be tried again. */
  #stored: { readonly pause: Pause; readonly done: Promise<void> } | null = null;

  static async open(deps: RestraintsDeps): Promise<StoredRestraints> {
    const restraints = new StoredRestraints(deps);
    for (const row of await deps.store.restraints(nowMs())) restraints.#put(restraintOf(row));
    const pause = restraints.#pause;
    if (pause !== null) restraints.#stored = { pause, done: Promise.resolve() };
    return restraints;
  }

  private constructor(deps: RestraintsDeps) {
    this.#deps = deps;
    this.#attempts = deps.rule === null ? null : new Attempts(deps.rule);
  }

  get pause(): Pause | null {
    return this.#pause;
  }

  /** The newest first. */
  get quarantines(): readonly Quarantine[] {
    return [...this.#quarantines.values()].filter(isInForce).toReversed();
  }

  listen(listener: RestraintListener): void {
    this.#listeners.add(listener);
  }

  of({ role, application }: Actor): Restraint | null {
    if (this.#pause !== null) return this.#pause;
    if (this.#quarantines.size === 0) return null;
    for (const one of this.#quarantines.values()) {
      const isHis = one.role === role && (one.application === null || one.application === application);
      if (isHis && isInForce(one)) return one;
    }
    return null;
  }

  attempted(actor: Actor, operation: string): void {
    const { rule, log } = this.#deps;
    if (rule === null || this.#attempts?.note(actor, nowMs()) !== true) return;
    const application = rule.by === 'role' ? null : actor.application;
    const reason = `${rule.attempts} statements were refused, the last of them ${operation}`;
    log.warn({ role: actor.role, application }, 'a role is in quarantine');
    const wanted = { role: actor.role, application, reason, forMs: rule.forMs };
    this.quarantine(wanted, { by: 'holdfast', client: '' }).catch((error) =>
      log.error({ error }, 'a quarantine could not be recorded; it holds until this gateway stops'),
    );
  }

  /** Somebody else's pause stands; one that could not be stored is stored now. */
  async pauseFor(reason: string, { by, client }: Restrainer): Promise<Pause> {
    const pause = this.#pause ?? { kind: 'pause', id: newId('pau'), reason, by, sinceMs: nowMs() };
    if (this.#stored?.pause !== pause) {
      const done = this.#begin(pause, client, 'pause', '*');
      this.#stored = { pause, done };
      done.catch(() => {
        if (this.#stored?.done === done) this.#stored = null;
      });
    }
    await this.#stored.done;
    return pause;
  }

  /** Does nothing where nothing is paused. */
  async resume(comment: string | null, restrainer: Restrainer): Promise<void> {
    if (this.#pause !== null) await this.#lift(this.#pause, comment, restrainer);
  }

  async quarantine(wanted: WantedQuarantine, { by, client }: Restrainer): Promise<Quarantine> {
    if (this.#quarantines.size >= LIMITS.quarantinesMax) {
      throw new HoldfastError(
        'CONFLICT',
        `there are ${LIMITS.quarantinesMax} quarantines, which is the most`,
      );
    }
    const { forMs, ...rest } = wanted;
    const sinceMs = nowMs();
    const untilMs = forMs === null ? null : sinceMs + forMs;
    const quarantine: Quarantine = { kind: 'quarantine', id: newId('qua'), ...rest, by, sinceMs, untilMs };
    await this.#begin(quarantine, client, 'quarantine', rest.role);
    return quarantine;
  }

  find(id: string): Quarantine {
    const found = this.#quarantines.get(id);
    if (found === undefined || !isInForce(found)) {
      throw new HoldfastError('NOT_FOUND', `there is no quarantine ${id}`);
    }
    return found;
  }

  async lift(id: string, comment: string | null, restrainer: Restrainer): Promise<void> {
    await this.#lift(this.find(id), comment, restrainer);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  async #begin(restraint: Restraint, client: string, operation: 'pause' | 'quarantine', whose: string) {
    const { store, audit } = this.#deps;
    const { id, reason, by } = restraint;
    this.#untold.add(id);
    this.#put(restraint);
    const text = `${operation} ${id} of ${whose}`;
    const action = { operation, text, reason, tables: [], database: '', by, client };
    try {
      await recordAction(audit, action, () => store.insertRestraint(rowOf(restraint)), 'failed');
    } finally {
      this.#tellBegun(restraint);
    }
  }

  async #lift(restraint: Restraint, comment: string | null, { by, client }: Restrainer): Promise<void> {
    const { store, audit } = this.#deps;
    const operation = restraint.kind === 'pause' ? 'resume' : 'lift quarantine';
    const text = `${operation} ${restraint.id}`;
    const action = { operation, text, reason: comment ?? '', tables: [], database: '', by, client } as const;
    await recordAction(audit, action, async () => {
      await store.liftRestraint(restraint.id, { atMs: nowMs(), by, comment });
      this.#end(restraint, 'lifted');
    });
  }

  #put(restraint: Restraint): void {
    if (restraint.kind === 'pause') {
      this.#pause = restraint;
    } else {
      this.#quarantines.set(restraint.id, restraint);
      this.#expireInTime(restraint);
    }
    this.#count();
  }

  /** It is over by its own time, whoever looks; this takes it off the list, and tells of it. */
  #expireInTime(quarantine: Quarantine): void {
    const { id, untilMs } = quarantine;
    if (untilMs === null) return;
    const rest = untilMs - nowMs();
    const again = () =>
      isInForce(quarantine) ? this.#expireInTime(quarantine) : this.#end(quarantine, 'expired');
    this.#timers.set(id, setTimeout(again, Math.min(Math.max(rest, 1), TIMER_MS_MAX)).unref());
  }

  #end(restraint: Restraint, change: 'lifted' | 'expired'): void {
    if (restraint.kind === 'pause') this.#pause = null;
    else this.#quarantines.delete(restraint.id);
    clearTimeout(this.#timers.get(restraint.id));
    this.#timers.delete(restraint.id);
    this.#count();
    this.#tellBegun(restraint);
    this.#tell(restraint, change);
  }

  /** Once, when it is stored; or before it is told to be over, where its time is over first. */
  #tellBegun(restraint: Restraint): void {
    if (this.#untold.delete(restraint.id)) this.#tell(restraint, 'begun');
  }

  #count(): void {
    const { metrics } = this.#deps;
    metrics.paused = this.#pause === null ? 0 : 1;
    metrics.quarantined = this.#quarantines.size;
  }

  #tell(restraint: Restraint, change: Parameters<RestraintListener>[1]): void {
    for (const listener of this.#listeners) listener(restraint, change);
  }
}

function isInForce({ untilMs }: Quarantine): boolean {
  return untilMs === null || nowMs() < untilMs;
}
