import { nowMs } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import { type CodeVerdict, judgeCalledCode } from '../../catalog/called-code.ts';
import type { HiddenConnection } from '../../catalog/connection.ts';
import { judgeEventTriggers } from '../../catalog/event-triggers.ts';
import { type Analysis, type StatementEffects, worseRisk } from '../../sql/effects.ts';
import { moreThanLow } from '../../sql/facts/functions.ts';
import { askSettings } from '../known/asked-settings.ts';
import type { SessionState } from '../state.ts';
import { KnownByPath, SharedByPath } from './known-by-path.ts';
import { leavesCode } from './read-names.ts';

/** What runs a call at once and keeps none for later. A cursor is planned at once, by what functions are then. */
const RUNS_NOW: ReadonlySet<string> = new Set([
  ...[
    'select',
    'insert',
    'copy to',
    'explain',
    'explain analyze',
    'execute',
    'select into',
    'create table as',
    'create materialized view',
    'declare cursor',
  ],
]);

const MAKES_TABLES: ReadonlySet<string> = new Set(['create table', 'create table as', 'select into']);

/** An analysis that nothing but what it calls by name keeps from being harmless. */
interface Calls {
  readonly key: string;
  /** The call is kept, so that it may not come to mean something else later. */
  readonly kept: boolean;
  readonly statements: readonly StatementEffects[];
}

/** Of analyses, which are kept and used again. */
const CALLS = new WeakMap<Analysis, Calls | null>();

const isLow = ({ risk }: { readonly risk: StatementEffects['risk'] }) => worseRisk(risk, 'low') === 'low';

function callsOf(analysis: Analysis): Calls | null {
  // Most statements call nothing that is looked up.
  if (analysis.statements.length === 1 && analysis.statements[0]!.called === undefined) return null;
  let calls = CALLS.get(analysis);
  if (calls === undefined) {
    calls = readCalls(analysis);
    CALLS.set(analysis, calls);
  }
  return calls;
}

function readCalls(analysis: Analysis): Calls | null {
  const { statements } = analysis;
  return statements.every((each) => isLow(each.called ?? each)) ? callsIn(analysis) : null;
}

function callsIn({ status, statements }: Analysis): Calls | null {
  if (status !== 'parsed' || !statements.some(({ called }) => called !== undefined)) return null;
  // What one of several makes is not there yet when the others are looked at.
  const changes = statements.some(({ session }) => session.some(({ kind }) => kind === 'schema-change'));
  if (changes && statements.length > 1) return null;
  const calling = statements.filter(({ called }) => called !== undefined);
  const kept = !calling.every(({ operations }) => operations.every((each) => RUNS_NOW.has(each)));
  const named = statements.map(({ called, functions, reads, columns, session }) => [
    called ?? null,
    functions,
    reads,
    columns.map(({ name }) => name),
    session.filter(({ kind }) => kind === 'set' || kind === 'reset'),
  ]);
  return { key: JSON.stringify([statements.length > 1, named]), kept, statements };
}

/** Of code that is known to change no table: whether it may change settings. */
export type KnownCode = 'harmless' | 'leaves settings' | null;

/** What sessions have learnt, by the services that they share. */
const learnt = new WeakMap<object, SharedByPath<CodeVerdict>>();

export const NOTHING_TO_CAPTURE = 'nothing to capture: what it calls only reads';

/**
 * What is known of the code that statements call by name: whether any of it can change something, so that there is
 * something to capture. It is asked when a snapshot is wanted of a statement that is harmless otherwise, and counts for a
 * few seconds, unless a statement goes through the gateway meanwhile that may replace functions. What others replace past
 * the gateway is noticed after those seconds.
 */
export class CalledCode {
  private readonly state: SessionState;
  private readonly shared: SharedByPath<CodeVerdict>;
  private readonly known: KnownByPath<CodeVerdict>;
  private hasChangedCode = false;
  /** Commands of which no event trigger is told that may change anything, and until when that counts. */
  private untold: { readonly tags: ReadonlySet<string>; readonly untilMs: number } | null = null;

  constructor(state: SessionState) {
    this.state = state;
    let shared = learnt.get(state.services);
    if (shared === undefined) {
      shared = new SharedByPath(LIMITS.calledCodesMax);
      learnt.set(state.services, shared);
    }
    this.shared = shared;
    this.known = new KnownByPath(state, shared, LIMITS.calledCodeMs);
  }

  /** Whether only the catalog can tell that the statement changes something. */
  isToAsk(analysis: Analysis): boolean {
    return callsOf(analysis) !== null;
  }

  /** Whether it is known that the statement changes nothing. */
  isHarmless(analysis: Analysis, now: number): boolean {
    const calls = callsOf(analysis);
    const verdict = calls === null ? null : this.known.find(calls.key, now);
    return calls !== null && verdict !== null && changesNothing(calls, verdict);
  }

  /** What is known of what the statement calls, as it is sent. */
  knownOf(analysis: Analysis, now: number): KnownCode {
    const calls = callsOf(analysis);
    // What was known when it was decided may be old by a little more.
    const verdict = calls === null ? null : this.known.find(calls.key, now - LIMITS.calledCodeMs);
    if (verdict?.kind !== 'harmless') return null;
    return verdict.touchesSettings ? 'harmless' : 'leaves settings';
  }

  /** Why the statement may change something, or null where it does not; asked now. `isRead` of what a read leads to. */
  async ask(connection: HiddenConnection, analysis: Analysis, isRead = false): Promise<string | null> {
    const calls = callsOf(analysis);
    if (calls === null) return 'its text tells that it changes something';
    return await this.judge(connection, calls, isRead);
  }

  /** Why what a statement calls may change something, whatever it does itself; null where it calls nothing that may. */
  async askCalls(connection: HiddenConnection, analysis: Analysis): Promise<string | null> {
    for (const { functions } of analysis.statements) {
      for (const name of functions) {
        const known = moreThanLow(name);
        if (known !== null) return `it calls ${name}, which ${known.reason}`;
      }
    }
    const calls = callsIn(analysis);
    return calls === null ? null : await this.judge(connection, calls, false);
  }

  /** Why what a statement calls whose rows are captured may do what these do not show; null where that is not so. */
  async askUncounted(connection: HiddenConnection, analysis: Analysis): Promise<string | null> {
    const { state, shared } = this;
    // Most that are captured call nothing that is looked up.
    const calls = callsIn(analysis);
    if (calls === null) return null;
    if (state.settings.knownPath === null) await askSettings(state, connection);
    const key = `counted ${calls.key}`;
    let verdict = this.known.find(key, nowMs());
    if (verdict === null) {
      const { generation } = shared;
      const { moment } = this.known;
      verdict = await judgeCalledCode(connection, state.services.analyzer, {
        statements: calls.statements,
        facts: state.textFacts,
        alone: calls.statements.length === 1,
        seesNow: state.reads.seesNow(LIMITS.calledCodeMs),
        isRead: false,
        isCounted: true,
      });
      if (generation === shared.generation)
        this.known.learn(new Map([[key, verdict]]), moment, LIMITS.calledCodeMs);
    }
    return verdict.kind === 'harmful' ? `it may do what a snapshot does not show: ${verdict.reason}` : null;
  }

  private async judge(connection: HiddenConnection, calls: Calls, isRead: boolean): Promise<string | null> {
    const { state, shared } = this;
    if (state.settings.knownPath === null) await askSettings(state, connection);
    const { generation } = shared;
    const { moment } = this.known;
    const verdict = await judgeCalledCode(connection, state.services.analyzer, {
      statements: calls.statements,
      facts: state.textFacts,
      alone: calls.statements.length === 1,
      seesNow: state.reads.seesNow(LIMITS.calledCodeMs),
      isRead,
    });
    const lasts = verdict.kind === 'harmful' || !verdict.isPassing;
    const lastsMs = isRead ? LIMITS.tableCodeMs : LIMITS.calledCodeMs;
    if (lasts && generation === shared.generation)
      this.known.learn(new Map([[calls.key, verdict]]), moment, lastsMs);
    if (verdict.kind === 'harmful') return `it may change tables: ${verdict.reason}`;
    return changesNothing(calls, verdict) ? null : 'what it calls may be replaced before it runs';
  }

  /** Whether it is known that no event trigger that runs with commands of these tags changes anything. */
  isUntold(tags: readonly string[], now: number): boolean {
    const { untold } = this;
    if (tags.length === 0) return true;
    return untold !== null && now < untold.untilMs && tags.every((tag) => untold.tags.has(tag));
  }

  /** Why one may; null where none does. */
  async askTold(connection: HiddenConnection, tags: readonly string[]): Promise<string | null> {
    const { state } = this;
    if (tags.length === 0) return null;
    const untilMs = nowMs() + LIMITS.calledCodeMs;
    const seesNow = state.reads.seesNow(LIMITS.calledCodeMs);
    const { analyzer } = state.services;
    const verdict = await judgeEventTriggers(connection, analyzer, tags, state.textFacts, seesNow);
    this.untold = verdict.kind === 'harmless' ? { tags: new Set(tags), untilMs } : null;
    if (verdict.kind === 'harmless') return null;
    return `event triggers run with it, and may change tables: ${verdict.reason}`;
  }

  /** A statement is sent that changes the schema: functions, maybe, or other things that names mean. */
  changed(operations: readonly string[]): void {
    const { reads } = this.state;
    if (leavesCode(operations)) {
      this.known.changed();
      if (operations.some((each) => MAKES_TABLES.has(each))) reads.tableMade();
    } else {
      this.codeRuns();
      reads.changed();
    }
  }

  /** Code is sent that may make, replace or drop functions. */
  codeRuns(): void {
    this.untold = null;
    this.known.changed();
    this.hasChangedCode = true;
    this.shared.forget();
    this.state.reads.codeRuns();
  }

  /** A statement is sent with which names may mean something else in this session alone. */
  apart(): void {
    this.known.changed();
  }

  discards(): void {
    this.known.discards();
  }

  discarded(): void {
    this.known.discarded();
  }

  /** What this session has made or run since nothing was under way may be taken back. */
  get mayBeTakenBack(): boolean {
    return this.known.mayBeTakenBack;
  }

  transactionEnds(): void {
    this.known.transactionEnds();
    this.state.reads.transactionEnds();
  }

  segmentEnds(isInBlock: boolean): void {
    this.known.segmentEnds(isInBlock);
  }

  /** What was replaced is so for other sessions from its commit on, behind which more may be under way. */
  ready(status: 'I' | 'T' | 'E', isLast: boolean): void {
    this.state.reads.ready(status, isLast);
    const { hasChangedCode } = this;
    if (hasChangedCode && (status === 'I' || this.known.mayHaveEnded)) this.shared.forget();
    if (isLast && this.known.ready(status)) this.hasChangedCode = false;
  }

  /** The server is gone. What it has not answered it may have committed, or may yet. */
  ended(): void {
    this.state.reads.ended();
    if (this.hasChangedCode) this.shared.forget(this.state.replies.length > 0 ? LIMITS.calledCodeMs : 0);
  }
}

function changesNothing({ kept }: Calls, verdict: CodeVerdict): boolean {
  return verdict.kind === 'harmless' && (verdict.fixed || !kept);
}
