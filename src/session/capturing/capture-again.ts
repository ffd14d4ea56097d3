import { nowMs } from '../../base/clock.ts';
import { HiddenQueryError } from '../../catalog/connection.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import { encodeMessage } from '../../wire/backend.ts';
import type { Bind } from '../../wire/bind.ts';
import { encodeExecute, encodeFlush } from '../../wire/frontend.ts';
import { encodeFrontendMessage } from '../../wire/frontend-message.ts';
import { Frontend } from '../../wire/message-type.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import { isAsciiName, type Portal } from '../known/names.ts';
import { statementsSent } from '../known/session-effects.ts';
import { ReplyKind } from '../replies.ts';
import { isOwn } from './begun-capture.ts';
import type { CaptureOutcome, CaptureRun } from './capture-run.ts';
import type { LooksNext } from './ending.ts';
import type { Again, Prepared } from './prepared.ts';
import type { StatementGate } from './statement-gate.ts';

/** What is bound once more where it runs once more, because its portal went with the transaction. */
export interface Rebind {
  readonly name: string;
  readonly portal: Portal;
  readonly bind: Bind;
}

type Prepare = (run: CaptureRun) => Promise<Prepared | CaptureOutcome>;

/** How what others have run into is captured and run anew, whose transaction is taken back by then; null where it is not. */
export function againOf(run: CaptureRun, prepare: Prepare): Prepared['again'] {
  const looking = (looks?: LooksNext) => (looks === undefined ? run : { ...run, looks });
  if (isOwn(run)) return (looks) => queryAgain(looking(looks), prepare);
  const rebind = run.rebind?.() ?? null;
  return rebind === null ? null : (looks) => executeAgain(looking(looks), rebind, prepare);
}

/** Null for what gives rows, which the client may have been told, and where the names of the wire are not kept. */
export function rebindOf(name: string, portal: Portal, bind: Bind, text: Buffer): Rebind | null {
  const isNamed = isAsciiName(bind.portal) && isAsciiName(bind.statement);
  const words = text.toString('latin1');
  return isNamed && WRITES.test(words) && !/returning/i.test(words) ? { name, portal, bind } : null;
}

/** Inside COPY or EXPLAIN it gives rows as well. */
const WRITES = /^\s*(?:with|update|delete|merge|insert)\b/i;

/** Begins anew with a Query whose transaction, which was ours, has been rolled back. */
async function queryAgain(run: CaptureRun, prepare: Prepare): Promise<Again | null> {
  const { state, connection, services, request, entry, text } = run;
  services.catalog.invalidate(request.scope);
  await connection.run(plainQuery('BEGIN'), () => {});
  const prepared = await prepare({ ...run, gaveUp: () => false, locksAll: true, readAhead: false });
  if ('kind' in prepared) return null;
  const send = (gate: StatementGate) => {
    state.closeSegment();
    const reply = state.replies.push(ReplyKind.Query);
    reply.analysis = entry.analysis;
    reply.decision = entry.decision;
    reply.gate = gate;
    statementsSent(state, entry.analysis, reply, entry.text, nowMs());
    state.upstream.write(encodeMessage(Frontend.Query, Buffer.concat([text, Buffer.alloc(1)])));
  };
  return { prepared, send };
}

/**
 * Begins anew with an Execute that is all that its segment runs, and that has been made to fail. The segment is ended with a Sync
 * of ours, and the next is the client's Sync's. Null also where the server discards up to that.
 */
async function executeAgain(run: CaptureRun, rebind: Rebind, prepare: Prepare): Promise<Again | null> {
  const { services, request, hidden } = run;
  services.catalog.invalidate(request.scope);
  let prepared: Prepared | CaptureOutcome;
  try {
    await hidden.takeBack();
    prepared = await prepare({ ...run, gaveUp: () => false, locksAll: true, rebind: () => rebind });
  } catch (error) {
    if (error instanceof HiddenQueryError || (error instanceof HiddenQueryEnded && error.why === 'discarded'))
      return null;
    throw error;
  }
  if ('kind' in prepared) return null;
  return { prepared, send: (gate) => sendBound(run, rebind, gate) };
}

const FLUSH = encodeFlush();

function sendBound({ state, entry }: CaptureRun, { name, portal, bind }: Rebind, gate: StatementGate): void {
  const bound = state.replies.push(ReplyKind.Bind);
  bound.hidden = true;
  bound.of = 'portal';
  bound.name = name;
  bound.portal = portal;
  state.portals.ask(name, portal);
  state.executedIn = state.segment;
  const reply = state.replies.push(ReplyKind.Execute);
  reply.gate = gate;
  statementsSent(state, entry.analysis, reply, entry.text, nowMs());
  state.upstream.write(Buffer.concat([encodeFrontendMessage(bind), encodeExecute(bind.portal, 0)]));
  state.upstream.writeSoon(FLUSH);
}
