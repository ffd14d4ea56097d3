import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { KnownRows, RowSet } from '../policy/row-set.ts';
import type { ControlStore } from '../store/control-store.ts';
import type { Computed } from './compute.ts';
import { boundBy, type Preview, type RowsBound, unknown } from './preview.ts';
import type { RowSetSeal } from './row-set-seal.ts';
import { withOlderWithheld } from './withheld.ts';

/** `none`: the approval is of a time that made no previews, or its gateway ended before there was one. */
export type PreviewFound =
  | { readonly state: 'pending' }
  | { readonly state: 'none' }
  | { readonly state: 'ready'; readonly preview: Preview };

/** Asks the server once more; null where nobody waits by then. */
type AskAgain = () => Promise<Computed | null>;

/**
 * What has come of asking once more. `idle`: no session waits for it that could be asked. `busy`: one is being asked
 * already. `kept`: the rows could not be counted, so that what was counted before stands.
 */
export type AskedAgain =
  | { readonly kind: 'ready' }
  | { readonly kind: 'idle' }
  | { readonly kind: 'busy' }
  | { readonly kind: 'kept'; readonly reason: string };

type PreviewStore = Pick<
  ControlStore,
  'setApprovalPreview' | 'replaceApprovalPreview' | 'approvalPreview' | 'approvalRowSet'
>;

/** What the session hands previews to. */
export interface PreviewSink {
  begin(approvalId: string): void;
  /** It can be asked for once more as long as it waits. Returns what takes that back. */
  offer(approvalId: string, again: AskAgain): () => void;
  /** Resolves when it is kept, with which rows it is about. */
  finish(approvalId: string, preview: Preview, set: RowSet | null): Promise<void>;
}

/** The previews of approvals: those that are being made by this gateway, and those that are kept. */
export class PreviewResults implements PreviewSink {
  readonly #store: PreviewStore;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #seal: RowSetSeal;
  readonly #pending = new Set<string>();
  readonly #listeners = new Set<(approvalId: string) => void>();
  readonly #offered = new Map<string, AskAgain>();
  readonly #busy = new Set<string>();

  constructor(store: PreviewStore, log: Pick<Logger, 'warn'>, seal: RowSetSeal) {
    this.#store = store;
    this.#log = log;
    this.#seal = seal;
  }

  /** Tells of each preview as it is there. */
  listen(listener: (approvalId: string) => void): void {
    this.#listeners.add(listener);
  }

  begin(approvalId: string): void {
    this.#pending.add(approvalId);
  }

  offer(approvalId: string, again: AskAgain): () => void {
    this.#offered.set(approvalId, again);
    return () => {
      if (this.#offered.get(approvalId) === again) this.#offered.delete(approvalId);
    };
  }

  /** What there is stays until the new one is there: an approval is bound to what is kept. */
  async again(approvalId: string): Promise<AskedAgain> {
    const ask = this.#offered.get(approvalId);
    if (ask === undefined) return { kind: 'idle' };
    if (this.#pending.has(approvalId) || this.#busy.has(approvalId)) return { kind: 'busy' };
    this.#busy.add(approvalId);
    try {
      const before = await this.find(approvalId);
      const found = await ask();
      if (found === null || this.#offered.get(approvalId) !== ask) return { kind: 'idle' };
      const why = before.state === 'ready' ? whyWorse(before.preview, found) : null;
      if (why !== null) return { kind: 'kept', reason: why };
      // Somebody may have voted while the server was asked, by what there was before.
      const kept = [bounded(found.preview), this.#sealed(approvalId, found.set)] as const;
      if (!(await this.#store.replaceApprovalPreview(approvalId, ...kept)))
        return { kind: 'kept', reason: 'somebody has decided meanwhile' };
      for (const listener of this.#listeners) listener(approvalId);
      return { kind: 'ready' };
    } finally {
      this.#busy.delete(approvalId);
    }
  }

  async finish(approvalId: string, preview: Preview, set: RowSet | null): Promise<void> {
    try {
      await this.#store.setApprovalPreview(approvalId, bounded(preview), this.#sealed(approvalId, set));
    } catch (err) {
      this.#log.warn({ err, approval: approvalId }, 'a preview could not be stored');
    } finally {
      this.#pending.delete(approvalId);
      for (const listener of this.#listeners) listener(approvalId);
    }
  }

  #sealed(approvalId: string, set: RowSet | null): Uint8Array | null {
    return set === null ? null : this.#seal.seal(approvalId, set);
  }

  async find(approvalId: string): Promise<PreviewFound> {
    if (this.#pending.has(approvalId)) return { state: 'pending' };
    const body = await this.#store.approvalPreview(approvalId);
    if (body === null) return { state: 'none' };
    const preview = withOlderWithheld(JSON.parse(body) as Preview);
    return { state: 'ready', preview: { ...preview, rows_bound: boundBefore(preview) } };
  }

  /** The rows of the statement itself, where they were counted to the last. */
  async rowsShown(approvalId: string): Promise<KnownRows | null> {
    const found = await this.find(approvalId);
    if (found.state !== 'ready' || found.preview.rows.kind !== 'exact') return null;
    const { rows } = found.preview.rows;
    if (found.preview.rows_bound !== 'set') return { rows, set: null };
    const stored = await this.#store.approvalRowSet(approvalId);
    const set = stored === null ? null : this.#seal.open(approvalId, stored);
    if (set === null)
      throw new HoldfastError('STORE_FAILED', `which rows ${approvalId} is about cannot be read`);
    // What is kept may have been replaced meanwhile.
    return { rows: set.count, set };
  }
}

/** What is less known than before, be it what an approval is bound to or what others decide by; null where nothing is. */
function whyWorse(before: Preview, { preview, set }: Computed): string | null {
  const { rows } = preview;
  if (before.rows.kind === 'exact' && rows.kind !== 'exact')
    return 'reason' in rows ? rows.reason : 'there are too many to be counted';
  if (before.rows_bound === 'set' && set === null) return 'they cannot be told from each other any more';
  for (const part of ['sample', 'cascades', 'triggers', 'locks'] as const) {
    const now = preview[part];
    if (before[part].kind !== 'unknown' && now.kind === 'unknown') return now.reason;
  }
  return null;
}

/** Earlier versions bound their number alone. */
function boundBefore({ rows, rows_bound: bound }: Preview): RowsBound {
  return bound === undefined ? boundBy({ rows, set: null }) : bound;
}

/** Without what takes most room, where it is too large to be kept. */
function bounded(preview: Preview): string {
  const whole = JSON.stringify(preview);
  if (Buffer.byteLength(whole) <= LIMITS.previewBytes) return whole;
  const reason = 'the preview would be too large to be kept';
  const smaller = JSON.stringify({
    ...preview,
    sample: unknown(reason),
    parameters: { ...preview.parameters, values: null },
  });
  if (Buffer.byteLength(smaller) <= LIMITS.previewBytes) return smaller;
  const left = unknown(reason);
  return JSON.stringify({
    ...preview,
    tables: [],
    sample: left,
    cascades: left,
    triggers: left,
    locks: left,
    parameters: { ...preview.parameters, values: null },
  });
}
