import { nowMs } from '../../base/clock.ts';
import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import { readTableCode } from '../../catalog/table-code.ts';
import type { Analysis, StatementEffects, TextFacts } from '../../sql/effects.ts';
import { type ErrorFields, encodeErrorResponse } from '../../wire/backend.ts';
import { queryTextEnd, stringEnd } from '../../wire/frontend.ts';
import { Frontend } from '../../wire/message-type.ts';
import type { Lossless } from '../capturing/lossless.ts';
import { askBeside } from '../hidden/beside.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { segmentFits, untilSegmentFits } from '../hidden/segment-fits.ts';
import { askNames } from '../holding/code-prepared.ts';
import { canceledError, nativeError } from '../ruling/refusal.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';
import { askSettings } from './asked-settings.ts';
import { type Portal, type PreparedStatement, UNSETTLED } from './names.ts';
import { executes, isPlannedAtBind } from './understanding.ts';

const CANCELED = '57014';

type Question = 'settings' | 'names';

/**
 * Code that the gateway has not read may have changed how text is read, where names are looked up, and which
 * statements the names of prepared statements stand for. The server is asked by a hidden query, once, but only in
 * front of a message of which the decision depends on it: most statements mean the same either way.
 *
 * Where the server cannot be asked, what is in doubt is read as the more dangerous of the two.
 */
export class Doubts {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  /** The message that is looked at. */
  private type = 0;
  /** In front of it: what it depends on, and what it writes. */
  private hasAsked = false;
  private hasAskedTables = false;
  private hasAskedLoss = false;
  /** In which way it was found to lose nothing; null where that is not so, or was not asked. */
  lossless: Lossless | null = null;
  private hasAskedReads = false;
  /** What becomes of the question; null where none is under way, when a cancel is meant for what the client has sent before. */
  private question: 'asked' | 'canceled' | null = null;

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  /** The wait for what the message depends on; null where it depends on nothing that is in doubt. */
  before(type: number, bytes: Buffer, start: number, end: number): Verdict {
    const question = this.questionOf(type, bytes, start, end);
    return question === null ? null : this.ask(question);
  }

  /** Each message is asked about once, whatever comes of it, and none that has been held. */
  mayAsk(answer: Answer | null): boolean {
    return !this.hasAsked && (answer === null || answer.outcome === null);
  }

  ask(question: Question): Verdict {
    this.hasAsked = true;
    return { kind: 'wait', until: this.answer(question) };
  }

  private questionOf(type: number, bytes: Buffer, start: number, end: number): Question | null {
    const { state } = this;
    switch (type) {
      case Frontend.Query:
        return this.ofText(bytes, start, queryTextEnd(bytes, start, end));
      case Frontend.Parse: {
        const nameEnd = stringEnd(bytes, start, end);
        if (nameEnd < 0) return null;
        return (
          this.ofName(bytes, start, nameEnd) ??
          this.ofText(bytes, nameEnd + 1, stringEnd(bytes, nameEnd + 1, end))
        );
      }
      case Frontend.Bind: {
        const portalEnd = stringEnd(bytes, start, end);
        const nameEnd = portalEnd < 0 ? -1 : stringEnd(bytes, portalEnd + 1, end);
        if (nameEnd < 0) return null;
        const named = this.ofName(bytes, start, portalEnd) ?? this.ofName(bytes, portalEnd + 1, nameEnd);
        if (named !== null) return named;
        const key = state.nameKey(bytes, portalEnd + 1, nameEnd);
        const statement = key === null ? null : state.statements.lookup(key);
        if (statement === null || statement === UNSETTLED) return null;
        const isDoubted = state.namesDoubted && key !== '' && statement.epoch < state.codeEpoch;
        return isDoubted ? 'names' : this.ofStatement(statement);
      }
      case Frontend.Execute: {
        const nameEnd = stringEnd(bytes, start, end);
        const key = nameEnd < 0 ? null : state.nameKey(bytes, start, nameEnd);
        const portal = key === null ? null : state.portals.lookup(key);
        if (portal === null || portal === UNSETTLED || isPlannedAtBind(portal.read)) return null;
        return this.ofStatement(portal.statement);
      }
      default:
        return null;
    }
  }

  /** Which name it is may depend on the encoding. */
  private ofName(bytes: Buffer, start: number, end: number): Question | null {
    return this.state.settings.inDoubt && this.state.nameKey(bytes, start, end) === null ? 'settings' : null;
  }

  private ofText(bytes: Buffer, start: number, end: number): Question | null {
    const { settings, textFacts } = this.state;
    if (end < 0 || !settings.inDoubt) return null;
    return this.ofReadings(bytes, start, end, textFacts, settings.hoped);
  }

  private ofStatement(statement: PreparedStatement): Question | null {
    const { settings, textFacts, namesDoubted } = this.state;
    if (executes(statement.analysis)) return namesDoubted || settings.inDoubt ? 'names' : null;
    const { catalogFirst } = textFacts;
    const hoped = settings.hoped.catalogFirst;
    if (catalogFirst === hoped) return null;
    if (statement.text === null) return 'settings';
    const bytes = Buffer.from(statement.text, 'utf8');
    const { facts } = statement;
    return this.ofReadings(
      bytes,
      0,
      bytes.length,
      { ...facts, catalogFirst },
      { ...facts, catalogFirst: hoped },
    );
  }

  private ofReadings(
    bytes: Buffer,
    start: number,
    end: number,
    now: TextFacts,
    hoped: TextFacts,
  ): Question | null {
    const { analyzer } = this.state.services;
    const feared = analyzer.analyze(bytes, start, end, now);
    if (feared instanceof Promise) {
      feared.catch(() => {});
      return 'names';
    }
    if (executes(feared)) return 'names';
    const read = analyzer.analyze(bytes, start, end, hoped);
    return !(read instanceof Promise) && isAlike(feared, read) ? null : 'settings';
  }

  /** A message of the client's is looked at for the first time. */
  begins(type: number): void {
    this.type = type;
    this.hasAsked = false;
    this.hasAskedLoss = false;
    this.lossless = null;
    this.hasAskedTables = false;
    this.hasAskedReads = false;
    this.state.reads.begins();
  }

  /** The wait, in front of a read, for whether it leads to code that its text does not show. */
  beforeRead(
    analysis: Analysis,
    answer: Answer | null,
    now: number,
  ): Extract<Verdict, { kind: 'wait' }> | null {
    const { state } = this;
    if (this.hasAskedReads || (answer !== null && answer.outcome !== null)) return null;
    if (!state.reads.isToAsk(analysis, now)) return null;
    this.hasAskedReads = true;
    return { kind: 'wait', until: this.asking((by) => this.askReads(by, analysis)) };
  }

  /** The client cancels. The question is for the server to end; the statement that it is asked for does not run. */
  cancel(): void {
    if (this.question !== null) this.question = 'canceled';
  }

  private async askReads(connection: HiddenConnection, analysis: Analysis): Promise<void> {
    const { state } = this;
    const isCanceled = () => this.question === 'canceled';
    try {
      await askBeside(state, connection, isCanceled, async () => {
        this.hasAskedReads = await state.reads.ask(connection, analysis);
      });
    } catch (error) {
      // It took longer than any question may.
      if (!(error instanceof HiddenQueryError) || error.sqlstate === CANCELED) throw error;
      state.reads.isNotTold();
      if (state.discarding) throw error;
    }
  }

  /** The same in front of an Execute, where the portal was a read when it was bound. */
  beforePortal({ resolved, mayComeToCall }: Portal, answer: Answer | null): ReturnType<Doubts['beforeRead']> {
    return mayComeToCall ? this.beforeRead(resolved, answer, nowMs()) : null;
  }

  /**
   * The wait, in front of a write, for what code runs with it, where that is not known of its tables. Where it cannot be
   * asked, the worst is feared.
   */
  beforeWrite(analysis: Analysis, answer: Answer | null, now: number): Verdict {
    const { state } = this;
    if (this.hasAskedTables || (answer !== null && answer.outcome !== null) || !state.takesQueries)
      return null;
    if (state.written.unknown(analysis, now).length === 0) return null;
    this.hasAskedTables = true;
    return { kind: 'wait', until: this.asking((by) => this.askTables(by, analysis)) };
  }

  /** The wait, in front of a Bind of what may lose nothing in these ways, for which of them it is. */
  beforeLoss(ways: readonly Lossless[], answer: Answer | null): Verdict {
    if (this.hasAskedLoss || (answer !== null && answer.outcome !== null)) return null;
    this.hasAskedLoss = true;
    const until = this.asking(async (connection) => {
      for (const way of ways)
        if (this.lossless === null && (await way.isSo(connection, this.state, this.hidden)))
          this.lossless = way;
    });
    return { kind: 'wait', until };
  }

  private async answer(question: Question): Promise<Answer> {
    const { state } = this;
    return await this.asking(async (connection) => {
      const asked: Promise<unknown>[] = [];
      if (state.settings.inDoubt) asked.push(askSettings(state, connection));
      if (question === 'names' && state.namesDoubted) asked.push(askNames(state, connection));
      await Promise.all(asked);
    });
  }

  /** Settles whether or not the server has told; what ends the statement that it is asked for is the answer. */
  private async asking(ask: (connection: HiddenConnection) => Promise<void>): Promise<Answer> {
    const failed = await this.failureOf(ask);
    const error = failed ?? (this.question === 'canceled' ? canceledError() : null);
    this.question = null;
    return { analysis: null, outcome: error === null ? null : { kind: 'ended', error } };
  }

  /** What has failed the client's transaction, of which it has not been told; null where it stands. */
  private async failureOf(ask: (connection: HiddenConnection) => Promise<void>): Promise<ErrorFields | null> {
    const { state } = this;
    try {
      await untilSegmentFits(state);
      // A Sync of ours would end the block that is none.
      if (state.inImplicitBlock && !state.replies.segmentOpen) return null;
      if (state.copyingIn || state.discarding || !segmentFits(state) || state.transactionStatus === 'E')
        return null;
      this.question = 'asked';
      await ask(this.hidden.ending(state.replies.segmentOpen ? 'flush' : 'sync'));
      await this.hidden.leaveSegment(this.type === Frontend.Query);
    } catch (error) {
      await state.untilHiddenOver();
      if (!(error instanceof HiddenQueryError)) return null;
      const fields = nativeError(error);
      // Inside a segment it is one of the client's errors, with which the server discards up to its Sync.
      if (state.discarding) state.inject(encodeErrorResponse(fields, state.clientEncoding));
      else if (state.transactionStatus === 'E') return fields;
    }
    return null;
  }

  /** Names are looked up in the path of the moment, which has to be known for the answer to last. */
  private async askTables(connection: HiddenConnection, analysis: Analysis): Promise<void> {
    const { settings, written } = this.state;
    if (settings.knownPath === null) await askSettings(this.state, connection);
    const unknown = settings.facts.catalogFirst ? written.unknown(analysis, nowMs()) : [];
    if (unknown.length === 0) return;
    const { moment } = written;
    written.learn(await readTableCode(connection, unknown), moment);
  }
}

/** Whether two readings of a text come to the same decision. */
function isAlike(a: Analysis, b: Analysis): boolean {
  if (a === b) return true;
  if (a.status !== b.status || a.risk !== b.risk || a.statements.length !== b.statements.length) return false;
  return a.statements.every((each, i) => isAlikeStatement(each, b.statements[i]!));
}

function isAlikeStatement(a: StatementEffects, b: StatementEffects): boolean {
  if (a.risk !== b.risk || a.session.length !== b.session.length) return false;
  return a.session.every((effect, i) => {
    const other = b.session[i]!;
    if (effect.kind !== 'prepare' || other.kind !== 'prepare') return effect.kind === other.kind;
    return isAlikeStatement(effect.effects, other.effects);
  });
}
