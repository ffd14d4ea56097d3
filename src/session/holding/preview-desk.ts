import { LIMITS } from '../../base/limits.ts';
import { ownCopy } from '../../base/own-copy.ts';
import type { Hold } from '../../policy/decision.ts';
import { type Computed, computePreview, type RowsNow, rowsNow } from '../../preview/compute.ts';
import { nothingKnown, unknown } from '../../preview/preview.ts';
import type { PreviewRequest } from '../../preview/request.ts';
import type { TurnKind } from '../../preview/turns.ts';
import type { StatementParameters } from '../../snapshot/plan.ts';
import type { Analysis } from '../../sql/effects.ts';
import { decodeFrontendMessage } from '../../wire/frontend-message.ts';
import { Frontend } from '../../wire/message-type.ts';
import { type AskedText, Asking, type BoundValues } from '../hidden/asking.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { whyNone } from '../ruling/noted.ts';
import type { PreviewServices } from '../services.ts';
import type { SessionState } from '../state.ts';

/** Those of the Bind whose body is `bytes[start, end)`; null where it is malformed. */
export function boundValues(
  bytes: Buffer,
  start: number,
  end: number,
  nameStart: number,
  nameEnd: number,
): BoundValues | null {
  const bind = decodeFrontendMessage(Frontend.Bind, ownCopy(bytes.subarray(start, end)), 'latin1');
  if (bind.kind !== 'bind') return null;
  return { bind, statement: ownCopy(bytes.subarray(nameStart, nameEnd)) };
}

/** With its secrets, which a preview does not show. */
export interface HeldText extends AskedText {
  readonly analysis: Analysis;
  readonly decision: Hold;
}

/**
 * What an approver sees of a statement is asked of the server on the held session's own connection, which stands idle
 * meanwhile: it has the rights, settings and transaction that the statement will have, and no more.
 */
export class PreviewDesk {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private counting: Asking | null = null;

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  begin(approvalId: string, held: HeldText): HeldPreview {
    return new HeldPreview(this.state, this.hidden, approvalId, held);
  }

  /**
   * The rows that the statement changes, counted to the last; null where that is not to be had in time, or nobody wants it
   * any more. With a salt they are told from each other.
   */
  async rowsNow(held: HeldText, salt: Uint8Array | null): Promise<RowsNow | null> {
    const { previews } = this.state.services;
    if (previews === null) return null;
    const asking = askingFor(this.state, this.hidden, previews, 'count');
    this.counting = asking;
    const late = setTimeout(() => asking.stopWaiting(), LIMITS.countTurnMs);
    try {
      const found = await asking
        .ask(held, (sandbox, parameters) =>
          rowsNow(sandbox, previews.sources, requestOf(this.state, held, parameters), salt),
        )
        .catch(() => null);
      return found === null || 'kind' in found ? null : found;
    } finally {
      clearTimeout(late);
      this.counting = null;
    }
  }

  /** Nobody waits for the count any more. */
  giveUp(): void {
    void this.counting?.stop();
  }
}

/** The preview of one statement, made while the hold lasts, and again where somebody asks for that. */
export class HeldPreview {
  private readonly state: SessionState;
  private readonly held: HeldText;
  private asking: Asking | null = null;
  private isStopped = false;
  private readonly over: Promise<void>;
  private readonly withdraw: () => void;

  constructor(state: SessionState, hidden: HiddenQueries, approvalId: string, held: HeldText) {
    this.state = state;
    this.held = held;
    const { previews, log } = state.services;
    if (previews === null) {
      this.over = Promise.resolve();
      this.withdraw = () => {};
      return;
    }
    this.asking = askingFor(state, hidden, previews, 'preview');
    previews.results.begin(approvalId);
    this.over = this.computed(previews)
      .then(({ preview, set }) => previews.results.finish(approvalId, preview, set))
      .catch((err: unknown) => log.warn({ err, approval: approvalId }, 'a preview was not kept'));
    this.withdraw = previews.results.offer(approvalId, async () => {
      await this.over;
      if (this.isStopped) return null;
      this.asking = askingFor(state, hidden, previews, 'preview');
      return await this.computed(previews);
    });
  }

  private async computed({ sources }: PreviewServices): Promise<Computed> {
    const { state, held } = this;
    const found = await this.asking!.ask(held, (sandbox, parameters) =>
      computePreview(sandbox, sources, requestOf(state, held, parameters)),
    ).catch((error: unknown) => unknown(error instanceof Error ? error.message : String(error)));
    return 'kind' in found ? nothingComputed(state, held, found.reason) : found;
  }

  /** The hold is over. Resolves when the connection is the client's again, and what was shown is what is kept. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.withdraw();
    await this.asking?.stop();
    await this.over;
  }

  /** Waits for it, but not for long. */
  async within(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([this.over, late]);
    clearTimeout(timer);
    await this.stop();
  }
}

function askingFor(
  state: SessionState,
  hidden: HiddenQueries,
  { turns }: PreviewServices,
  kind: TurnKind,
): Asking {
  return new Asking(state, hidden, { of: turns, kind }, SANDBOX_LIMITS);
}

const SANDBOX_LIMITS = {
  statementMs: LIMITS.previewStatementMs,
  lockMs: LIMITS.previewLockMs,
  totalMs: LIMITS.previewTotalMs,
};

function requestOf(state: SessionState, held: HeldText, parameters: StatementParameters): PreviewRequest {
  return {
    scope: state.facts.database,
    text: held.text!,
    analysis: held.analysis,
    parameters,
    snapshot: held.decision.snapshot,
    noSnapshot: whyNoSnapshot(state, held.decision),
    masks: state.services.policy.current.masks ?? [],
  };
}

function whyNoSnapshot({ services }: SessionState, decision: Hold): string | null {
  return services.snapshots === null ? 'the gateway takes no snapshots (snapshots_taken)' : whyNone(decision);
}

function nothingComputed(state: SessionState, { decision, parameters }: HeldText, reason: string): Computed {
  const why = whyNoSnapshot(state, decision);
  const undo = { possible: why === null ? ('unknown' as const) : ('no' as const), reason: why ?? reason };
  return { preview: nothingKnown(reason, undo, { count: parameters, values: null }), set: null };
}
