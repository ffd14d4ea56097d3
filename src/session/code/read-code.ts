import { nowMs } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import type { HiddenConnection } from '../../catalog/connection.ts';
import { type ReadCode, readDefinitions, readReadCode } from '../../catalog/read-code.ts';
import type { Decision } from '../../policy/decision.ts';
import type { Analysis } from '../../sql/effects.ts';
import { startOfMessage } from '../decision-time.ts';
import { askSettings } from '../known/asked-settings.ts';
import type { SessionPolicy } from '../ruling/bound-policy.ts';
import type { SessionState } from '../state.ts';
import { type Kept, type LearntReadCode, learntBy } from './learnt-read-code.ts';
import { metBy } from './met-code.ts';
import { type ReadNames, type Revealed, readNamesOf, readsNothingMade, withRevealed } from './read-names.ts';

/** What is known of an analysis whose statements read. */
interface Reading {
  readonly names: readonly (ReadNames | null)[];
  /** It needs nothing that is not PostgreSQL's, so that it waits for nothing. */
  readonly isFree: boolean;
  /** As it is to be understood where nothing is known, once that was so. */
  worst: Analysis | null;
  /** Whether `policy` makes a difference between the two. */
  policy: SessionPolicy | null;
  depends: boolean;
  /** What `code` makes of it: null for what the text says. */
  code: ReadCode | null;
  met: Analysis | null;
}

/** Of analyses, which are kept and used again. */
const READINGS = new WeakMap<Analysis, Reading | null>();

function readingOf(analysis: Analysis): Reading | null {
  let reading = READINGS.get(analysis);
  if (reading === undefined) {
    reading = newReading(analysis);
    READINGS.set(analysis, reading);
  }
  return reading;
}

function newReading(analysis: Analysis): Reading | null {
  const names = readNamesOf(analysis);
  if (names === null) return null;
  const isFree = names.every((each) => each === null || readsNothingMade(each));
  return { names, isFree, worst: null, policy: null, depends: false, code: null, met: null };
}

function worstOf(analysis: Analysis, { names, worst }: Reading): Analysis {
  return worst ?? withRevealed(analysis, names.map(unknownOf));
}

/** All that code may stand behind, while nothing is known. */
function unknownOf(names: ReadNames | null): readonly Revealed[] {
  if (names === null || !names.runs) return [];
  const { ofRows, ofValues } = names;
  const revealed = relationsOf(names);
  for (const attribute of new Set([...ofRows, ...ofValues])) {
    const reason = `reads ${attribute} of a row, which may call a function of that name`;
    revealed.push({ reason, name: attribute, attribute });
  }
  if (revealed.length > 0) return revealed;
  return [{ reason: 'runs code that is not known', name: null, attribute: null }];
}

function relationsOf(names: ReadNames | null): Revealed[] {
  if (names === null || !names.runs) return [];
  return names.relations.map(({ schema, name }) => {
    const whole = schema === null ? name : `${schema}.${name}`;
    const reason = `reads ${whole}, and what runs with that is not known`;
    return { reason, name: `relation(${whole})`, attribute: null };
  });
}

/**
 * Code that runs as something is read, and of which the text of the read says nothing: behind views and row security, and
 * by names that read like columns or like PostgreSQL's own. A database has little of it, so that it is asked for once and
 * counts for a minute, unless a statement goes through the gateway meanwhile that may make more. A read that leads to none
 * of it is what its text says. Of any other it is looked up whether that only reads, as of a call that is written as one;
 * and unless it does, the read is one.
 *
 * Nothing is asked where the decision would be the same.
 */
export class ReadsCode {
  private readonly state: SessionState;
  private readonly shared: LearntReadCode;
  /** The session has sent what changes the schema, and that may be taken back. */
  private isApart = false;
  private mayHaveEnded = false;
  /** Code has been sent that may do so, in a transaction that is still open. */
  private hasRunCode = false;
  /** What was asked for since, which counts for this session alone. */
  private own: Kept | null = null;
  /** When nothing was under way last, nor a transaction open, and how much had changed through the gateway by then. */
  private quietMs = 0;
  private quietChanges = -1;
  /** Moves on whenever what was asked for may not be so any more. */
  private moment = 0;
  /** What was asked in front of the message that is looked at, and what was found to be harmless. */
  private told: ReadCode | null = null;
  private harmless: Analysis | null = null;
  /** Why nothing is to be had of the server in front of the message: it refuses to tell. */
  private isUntold = false;

  constructor(state: SessionState) {
    this.state = state;
    this.shared = learntBy(state.services);
  }

  /** Whether it may make a difference what the statements lead to; it does not for most. */
  concerns(analysis: Analysis): boolean {
    const reading = readingOf(analysis);
    return reading !== null && this.depends(analysis, reading);
  }

  /** The analysis as it is to be decided: a read is a call where it leads to code that may do more than read. */
  understood(analysis: Analysis, now: number): Analysis {
    const reading = readingOf(analysis);
    if (reading === null || !this.depends(analysis, reading) || this.fails(analysis)) return analysis;
    const feared = this.fearedOf(analysis, reading, now);
    return feared === null || this.isHarmless(feared, now) ? analysis : feared;
  }

  /** Whether it leads to code that only reads, so that it has to be looked at again when it is run later. */
  leadsToCode(analysis: Analysis, now: number): boolean {
    const reading = readingOf(analysis);
    if (reading === null || !this.depends(analysis, reading)) return false;
    return this.fearedOf(analysis, reading, now) !== null;
  }

  /** Whether only the server can tell how it is to be understood. */
  isToAsk(analysis: Analysis, now: number): boolean {
    const reading = readingOf(analysis);
    if (reading === null || !this.depends(analysis, reading) || this.fails(analysis)) return false;
    const feared = this.fearedOf(analysis, reading, now);
    return feared !== null && !this.isHarmless(feared, now);
  }

  /** False where it turns out that the text itself is read otherwise, so that it has to be looked at again. */
  async ask(connection: HiddenConnection, analysis: Analysis): Promise<boolean> {
    const { state } = this;
    const reading = readingOf(analysis);
    if (reading === null) return true;
    const code = this.codeFor(reading, nowMs()) ?? (await this.askCode(connection));
    if (this.isUntold) return true;
    let feared: Analysis | null;
    if (code === null) {
      reading.worst = worstOf(analysis, reading);
      feared = reading.worst;
    } else if (this.met(analysis, reading, code) === null) return true;
    else {
      const { catalogFirst } = state.textFacts;
      if (state.settings.knownPath === null) await askSettings(state, connection);
      if (state.textFacts.catalogFirst !== catalogFirst) return false;
      await this.askDefinitions(connection, reading, code);
      feared = this.met(analysis, reading, code);
    }
    if (feared === null || this.isHarmless(feared, nowMs())) return true;
    if ((await state.called.ask(connection, feared, true)) === null) this.harmless = feared;
    return true;
  }

  /** The server refuses to tell, so that the text alone says what it is. */
  isNotTold(): void {
    this.isUntold = true;
  }

  /** A message of the client's is looked at for the first time. */
  begins(): void {
    this.told = null;
    this.harmless = null;
    this.isUntold = false;
    if (!this.isIdle || (this.state.replies.length > 0 && !this.state.owesNothing())) return;
    this.quietMs = startOfMessage(this.state);
    this.quietChanges = this.shared.changes;
  }

  /** The transaction reads by the snapshot of another session, which may be of any age. */
  snapshotLent(): void {
    this.quietChanges = -1;
  }

  /**
   * Whether a transaction that reads by one snapshot sees the catalog as it is, as far as statements through the gateway
   * tell, and what others have done past it in this time apart.
   */
  seesNow(maxAgeMs: number): boolean {
    if (this.isIdle) return true;
    return this.quietChanges === this.shared.changes && nowMs() - this.quietMs < maxAgeMs;
  }

  private get isIdle(): boolean {
    const { transactionStatus, replies, inImplicitBlock } = this.state;
    return transactionStatus === 'I' && !replies.segmentOpen && !inImplicitBlock;
  }

  /** A statement is sent that changes the schema, and not by tables and the like alone. */
  changed(): void {
    this.isApart = true;
    this.own = null;
    this.moment++;
    this.shared.forget();
  }

  /** A table is made, which may have columns of types that run code, where there are any. */
  tableMade(): void {
    const { shared } = this;
    if (shared.last(this.state.facts.database)?.typeOids.size !== 0) this.changed();
  }

  /** Code is sent that may do so. */
  codeRuns(): void {
    this.hasRunCode = true;
    this.own = null;
    this.shared.shorten(this.state.facts.database);
  }

  /** What ends a transaction, or takes a part of it back, is sent. */
  transactionEnds(): void {
    if (!this.isApart && !this.hasRunCode) return;
    this.mayHaveEnded = this.isApart;
    this.own = null;
    this.moment++;
  }

  /** What this session has changed is so for others from its commit on. */
  ready(status: 'I' | 'T' | 'E', isLast: boolean): void {
    if (this.hasRunCode && status === 'I') {
      this.own = null;
      this.shared.shorten(this.state.facts.database);
      if (isLast) this.hasRunCode = false;
    }
    if (!this.isApart) return;
    if (status === 'I' || this.mayHaveEnded) {
      this.shared.forget();
      this.own = null;
      this.moment++;
    }
    if (!isLast) return;
    this.mayHaveEnded = false;
    if (status === 'I') this.isApart = false;
  }

  /** The server is gone. What it has not answered it may have committed, or may yet. */
  ended(): void {
    if (this.isApart) this.shared.forget(this.state.replies.length > 0 ? LIMITS.calledCodeMs : 0);
    else if (this.hasRunCode) this.shared.shorten(this.state.facts.database);
  }

  /** Whether it makes a difference what it leads to. */
  private depends(analysis: Analysis, reading: Reading): boolean {
    const { state } = this;
    const { services, facts } = state;
    if (!state.takesQueries) return false;
    // These let reads alone go on.
    if (services.audit.failing || services.restraints.of(facts) !== null) return true;
    if (services.policy.current.mode === 'monitor') return false;
    if (services.recordsFirst) return true;
    const policy = state.policy.inForce;
    if (reading.policy !== policy) {
      reading.depends =
        this.comesTo(policy.decide(analysis)) !== this.comesTo(policy.decide(worstOf(analysis, reading)));
      reading.policy = policy;
    }
    return reading.depends;
  }

  private comesTo({ action }: Decision): Decision['action'] {
    return action === 'snapshot' && this.state.services.snapshots === null ? 'allow' : action;
  }

  /** Whether the server is going to refuse it, since its transaction has failed. */
  private fails({ statements }: Analysis): boolean {
    return statements.length === 1 && this.hasFailed;
  }

  /** Its transaction has failed, and nothing is under way that ends it. */
  private get hasFailed(): boolean {
    const { transactionStatus, owesNothing, replies } = this.state;
    return transactionStatus === 'E' && owesNothing() && !replies.segmentOpen;
  }

  /** What it is to be taken for unless that turns out to be harmless; null for what its text says. */
  private fearedOf(analysis: Analysis, reading: Reading, now: number): Analysis | null {
    const code = this.codeFor(reading, now);
    if (code !== null) return this.met(analysis, reading, code);
    if (!this.waitsFor(reading) || this.isUntold || this.mayNotBeAsked) return null;
    reading.worst = worstOf(analysis, reading);
    return reading.worst;
  }

  /** A failed transaction answers nothing, and there may be more than is kept. */
  private get mayNotBeAsked(): boolean {
    return this.hasFailed || this.shared.hasTooMuch(this.state.facts.database);
  }

  private isHarmless(feared: Analysis, now: number): boolean {
    return feared === this.harmless || this.state.called.isHarmless(feared, now);
  }

  private waitsFor({ isFree, names }: Reading): boolean {
    if (!isFree) return true;
    // A relation of the session's own, or of a schema in front of PostgreSQL's, may have the name of one of these.
    const hidesCatalog = this.isApart || !this.state.textFacts.catalogFirst;
    return hidesCatalog && names.some((each) => each !== null && each.relations.length > 0);
  }

  private codeFor(reading: Reading, now: number): ReadCode | null {
    if (this.told !== null) return this.told;
    const { database } = this.state.facts;
    const shared = this.isApart ? null : this.shared.find(database);
    const kept = shared !== null && shared.untilMs > now ? shared : (this.own ?? shared);
    if (kept !== null && (kept.untilMs > now || !this.waitsFor(reading))) return kept.code;
    // Where nothing can be asked, what was known last is better than nothing.
    return this.hasFailed ? this.shared.last(database) : null;
  }

  private met(analysis: Analysis, reading: Reading, code: ReadCode): Analysis | null {
    if (reading.code === code) return reading.met;
    const { definitions } = this.shared;
    const { isWhole, revealed } = metBy(reading.names, code, definitions);
    // What others have made since is not in what an old snapshot shows, and changes nothing where nothing can be written.
    const all =
      code.isOld && !(code.isReadOnly && reading.names.length === 1)
        ? revealed.map((each, i) => [...each, ...relationsOf(reading.names[i]!)])
        : revealed;
    const met = all.every((each) => each.length === 0) ? null : withRevealed(analysis, all);
    if (!isWhole) return met;
    reading.met = met;
    reading.code = code;
    return met;
  }

  /** Null where the answer would not be what the server goes by. A transaction that reads by one snapshot goes by that. */
  private async askCode(connection: HiddenConnection): Promise<ReadCode | null> {
    const { moment, isApart, shared } = this;
    const { database } = this.state.facts;
    const { generation, changes } = shared;
    const isShared = !isApart && !this.hasRunCode;
    const others = isShared ? await shared.othersAnswer(database) : null;
    if (others !== null) {
      this.told = others;
      return others;
    }
    const asked = this.readCode(connection);
    const code = await (isShared ? shared.asks(database, asked) : asked);
    if (moment !== this.moment) return null;
    if (code === null) {
      shared.tooMuch(database);
      this.isUntold = true;
      return null;
    }
    this.told = code;
    if (code.isOld) return code;
    const since = code.oneSnapshot && !this.isIdle ? this.quietMs : nowMs();
    const kept = { code, untilMs: since + LIMITS.tableCodeMs };
    if (!isShared) this.own = kept;
    else if (generation === shared.generation) {
      shared.keep(database, kept);
      if (changes !== shared.changes) shared.shorten(database);
    }
    return code;
  }

  private async readCode(connection: HiddenConnection): Promise<ReadCode | null> {
    return await readReadCode(connection, this.seesNow(LIMITS.tableCodeMs));
  }

  private async askDefinitions(
    connection: HiddenConnection,
    reading: Reading,
    code: ReadCode,
  ): Promise<void> {
    const { state } = this;
    const { definitions } = this.shared;
    if (metBy(reading.names, code, definitions).isWhole) return;
    if (!state.textFacts.catalogFirst) return;
    for (let level = 0; level < LIMITS.calledCodeLevelsMax; level++) {
      const { missing } = metBy(reading.names, code, definitions);
      if (missing.length === 0) return;
      const found = await readDefinitions(connection, missing);
      await definitions.learn(found, state.services.analyzer, state.textFacts);
    }
  }
}
