import { HiddenQueryError } from '../../catalog/connection.ts';
import { textColumns } from '../../catalog/row.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { OwnTransaction } from '../hidden/own-transaction.ts';
import { untilQuiet } from '../hidden/segment-fits.ts';
import { isAsciiName } from '../known/names.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';
import { refusedByRestraint } from './restrained.ts';

/** Of these the server looks up what they name as it reads them; of an EXECUTE, no more than a Describe tells is asked. */
const READ: ReadonlySet<string> = new Set([
  'select',
  'insert',
  'upsert',
  'update',
  'delete',
  'merge',
  'call',
]);

/** What a Query cannot have, and a Parse takes for something else than the server would take it for there. */
const PARAMETER = /\$\d/;

/** The longest name that SQL does not cut. */
const NAME_BYTES = 63;

/** SQLSTATE of a lock that was not to be had in time. */
const LOCKED = '55P03';

/** Whoever is asked is shown who keeps a table locked, so that nothing is read where that would wait for anybody. */
const WAITS_FOR_NOBODY = `
SELECT pg_catalog.set_config('lock_timeout', '100', true),
  EXISTS (SELECT FROM pg_catalog.pg_locks l
    WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.granted AND l.relation OPERATOR(pg_catalog.>=) 16384
      AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
      AND l.mode OPERATOR(pg_catalog.=) ANY (ARRAY['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']))`;

type Question = { readonly kind: 'text' } | { readonly kind: 'name'; readonly name: string };

/**
 * A Query that is about to be held is read by the server before, which runs none of it: what it would refuse all the same,
 * because it names a column, a procedure or a prepared statement that is not there, is for nobody to decide. Where it says
 * nothing against it, it is held as before. What it would keep locked by that is given back.
 */
export class SureRefusals {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  /** For the message that is looked at. */
  private hasAsked = false;

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  /** A message of the client's is looked at for the first time. */
  begins(): void {
    this.hasAsked = false;
  }

  /** The wait for what the server says, where it is to be asked: once, and in front of a hold alone. */
  before(analysis: Analysis, read: Analysis, text: string | null, answer: Answer | null): Verdict {
    if (this.hasAsked || text === null || !this.isAboutToBeHeld(analysis, answer)) return null;
    const question = this.questionOf(analysis, read, text);
    if (question === null) return null;
    this.hasAsked = true;
    return { kind: 'wait', until: this.answerOf(read, question, text, answer) };
  }

  private isAboutToBeHeld(analysis: Analysis, answer: Answer | null): boolean {
    const { state } = this;
    const outcome = answer?.outcome ?? null;
    const isUnplanned = outcome?.kind === 'capture' && outcome.captured.kind === 'unplanned';
    if ((outcome !== null && !isUnplanned) || !state.takesQueries || state.services.catalog === null)
      return false;
    const decision = state.decide(analysis);
    const isHeld =
      decision.action === 'hold' ||
      (isUnplanned && decision.action === 'snapshot' && decision.withoutPlan?.kind === 'hold');
    return isHeld && refusedByRestraint(state, analysis) === null;
  }

  private questionOf(analysis: Analysis, read: Analysis, text: string): Question | null {
    const { state } = this;
    const [statement, ...others] = read.statements;
    if (read.status !== 'parsed' || statement === undefined || others.length > 0) return null;
    if (state.textFacts.encoding !== 'utf8') return null;
    for (const effect of statement.session) {
      if (effect.kind !== 'execute') continue;
      const { name } = effect;
      const key = state.sqlNameKey(name);
      const isUnknown = key !== null && state.statements.lookup(key) === null;
      return isUnknown && isAsciiName(name) && name.length <= NAME_BYTES ? { kind: 'name', name } : null;
    }
    return READ.has(analysis.operation) && !PARAMETER.test(text) ? { kind: 'text' } : null;
  }

  private async answerOf(
    read: Analysis,
    question: Question,
    text: string,
    answer: Answer | null,
  ): Promise<Answer> {
    const { state } = this;
    const unsaid: Answer = { analysis: read, facts: state.textFacts, outcome: answer?.outcome ?? null };
    if (state.replies.segmentOpen || state.inImplicitBlock) return unsaid;
    await untilQuiet(state);
    if (!state.owesNothing() || state.copyingIn || state.discarding || state.fatal) return unsaid;
    if (state.transactionStatus === 'E') return unsaid;
    try {
      const error = await this.refusalOf(question, text);
      return error === null ? unsaid : { analysis: read, outcome: { kind: 'ended', error } };
    } catch (error) {
      if (error instanceof HiddenQueryEnded) return unsaid;
      // Such as a cancel, which is meant for the statement.
      if (error instanceof HiddenQueryError)
        return { analysis: read, outcome: { kind: 'ended', error: error.fields } };
      throw error;
    }
  }

  private async refusalOf(question: Question, text: string): Promise<ErrorFields | null> {
    const { state, hidden } = this;
    const ask = async () => {
      if (question.kind === 'text') return (await hidden.parse(Buffer.from(text, 'utf8'))).error;
      return await hidden.describe(Buffer.from(question.name), 'sync').then(
        () => null,
        (error: unknown) => {
          if (error instanceof HiddenQueryError) return error;
          throw error;
        },
      );
    };
    const connection = hidden.ending('sync');
    const own = OwnTransaction.of(state, hidden, connection);
    let error: HiddenQueryError | null;
    try {
      await own.begin({ protocol: 'extended' });
      let mayWait = true;
      await connection.run(plainQuery(WAITS_FOR_NOBODY), (row) => {
        mayWait = textColumns(row)[1] !== 'f';
      });
      error = mayWait ? null : await ask();
    } finally {
      await own.takeBack();
    }
    return error === null || error.sqlstate === LOCKED ? null : error.fields;
  }
}
