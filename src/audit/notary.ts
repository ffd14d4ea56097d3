import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { ControlStore, SignedHeadRow } from '../store/control-store.ts';
import {
  ANCHOR_FOLDER,
  anchorKey,
  encodeAnchor,
  parseAnchorKey,
  type SigningKey,
  signHead,
} from './signed-head.ts';

export interface NotaryDeps {
  readonly store: ControlStore;
  /** Where copies of heads are kept, or null. */
  readonly blobs: BlobStore | null;
  readonly key: SigningKey;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

const OLDER =
  'records that were anchored are not in the store: it is an older one, as from a backup, and its approvals are as they were then; holdfast audit verify says which are missing';

/**
 * Signs where the audit ends, from time to time and at the end, so that whoever changes the store later would have
 * to sign too; and keeps copies outside the store, so that its newest part cannot be cut off unseen. A head covers
 * all that was before it, so one that could not be anchored is made up for by the next. Nothing waits for a notary.
 */
export class Notary {
  readonly #deps: NotaryDeps;
  readonly #timer: NodeJS.Timeout;
  #newest: SignedHeadRow;
  #anchorProblem: string | null = null;
  #signProblem = false;
  #underWay: Promise<void> | null = null;
  #signing: Promise<void> = Promise.resolve();
  /** Where the stored audit ended at the start, as long as the anchors were not compared with that. */
  #beganAt: number | null;

  /** Resolves when where the audit begins or goes on is signed and in the store; the copy is made afterwards. */
  static async open(deps: NotaryDeps, everyMs: number = LIMITS.auditHeadMs): Promise<Notary> {
    const before = await deps.store.newestSignedHead();
    const newest = await signEnd(deps, before);
    if (before !== null) reportChanges(before, newest, deps);
    return new Notary(deps, newest, everyMs);
  }

  private constructor(deps: NotaryDeps, newest: SignedHeadRow, everyMs: number) {
    this.#deps = deps;
    this.#newest = newest;
    this.#beganAt = newest.sequence;
    this.#timer = setInterval(() => void this.attest(), everyMs);
    this.#timer.unref();
    void this.attest();
  }

  /** Why the newest head has no copy, or null. */
  get anchorProblem(): string | null {
    return this.#anchorProblem;
  }

  /** Signs what is new, and copies what has no copy. It never rejects; what fails is tried again at the next time. */
  attest(): Promise<void> {
    if (this.#underWay === null) {
      this.#signing = this.#sign();
      this.#underWay = this.#signing
        .then(() => this.#anchor(this.#newest))
        .finally(() => {
          this.#underWay = null;
        });
    }
    return this.#underWay;
  }

  /** To be called when the audit is durable, with the store still open. Closes the blobs. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#beganAt = null;
    const { blobs, log } = this.#deps;
    const ended = this.#end().then(() => true);
    const late = new Promise<false>((resolve) => {
      setTimeout(() => resolve(false), LIMITS.auditAnchorCloseMs).unref();
    });
    if (!(await Promise.race([ended, late]))) {
      const head = { signed: this.#newest.sequence, anchored: this.#newest.anchored };
      log.error(
        head,
        'the gateway stops before the end of the audit is anchored: its storage does not answer',
      );
    }
    await blobs?.close();
  }

  /** What was under way may have begun before the last events, and may wait for blobs, for which no signature waits. */
  async #end(): Promise<void> {
    await this.#signing;
    await this.#sign();
    await this.#underWay;
    await this.#anchor(this.#newest);
  }

  /**
   * Once, and ahead of the first anchor of this run. A store that was put back from a backup is at one with itself, and only
   * the anchors tell that there were more records; approvals are as they were then as well.
   */
  async #compareAnchors(blobs: BlobStore): Promise<void> {
    const found = this.#beganAt;
    if (found === null) return;
    const anchored = await anchoredWith(this.#deps.key.id, blobs);
    this.#beganAt = null;
    if (anchored <= found) return;
    this.#deps.log.error({ anchored, found }, OLDER);
  }

  async #sign(): Promise<void> {
    const { log } = this.#deps;
    try {
      this.#newest = await signEnd(this.#deps, this.#newest);
      this.#signProblem = false;
    } catch (error) {
      if (!this.#signProblem) log.error({ error }, 'the end of the audit cannot be signed');
      this.#signProblem = true;
    }
  }

  async #anchor(head: SignedHeadRow): Promise<void> {
    const { blobs, store, metrics, log } = this.#deps;
    if (blobs === null || (head.anchored && this.#beganAt === null)) return;
    try {
      await this.#compareAnchors(blobs);
      if (head.anchored) return;
      await blobs.putIfAbsent(anchorKey(head), encodeAnchor(head));
      await store.markAnchored(head);
    } catch (error) {
      metrics.auditAnchorFailures++;
      const problem = error instanceof Error ? error.message : String(error);
      if (this.#anchorProblem === null) log.error({ error }, 'the end of the audit cannot be anchored');
      this.#anchorProblem = problem;
      return;
    }
    // Another may have been signed meanwhile.
    if (this.#newest.sequence === head.sequence) this.#newest = { ...head, anchored: true };
    metrics.auditAnchors++;
    metrics.auditAnchoredSeq = head.sequence;
    if (this.#anchorProblem !== null) log.info({}, 'the end of the audit is anchored again');
    this.#anchorProblem = null;
  }
}

/** The last record that is anchored with a key. */
async function anchoredWith(keyId: string, blobs: BlobStore): Promise<number> {
  let last = 0;
  for await (const { key } of blobs.list(ANCHOR_FOLDER)) {
    const said = parseAnchorKey(key);
    if (said?.keyId === keyId) last = Math.max(last, said.sequence);
  }
  return last;
}

/** The head of where the stored audit ends: the one before where nothing is new, or another. */
async function signEnd(deps: NotaryDeps, before: SignedHeadRow | null): Promise<SignedHeadRow> {
  const { store, key, metrics } = deps;
  const { lastSeq, lastHash } = await store.auditHead();
  if (lastHash === null) throw new Error('the audit of this store is not chained');
  const isNew = before?.sequence !== lastSeq || before.keyId !== key.id || !same(before.hash, lastHash);
  if (before !== null && !isNew) return before;
  const head = signHead({ sequence: lastSeq, hash: lastHash, time: new Date().toISOString() }, key);
  await store.insertSignedHead(head);
  metrics.auditHeads++;
  return head;
}

function reportChanges(before: SignedHeadRow, now: SignedHeadRow, { log }: NotaryDeps): void {
  if (before.keyId !== now.keyId) {
    log.warn({ before: before.keyId, now: now.keyId }, 'from here on the audit is signed with another key');
  }
  if (now.sequence < before.sequence || (now.sequence === before.sequence && !same(before.hash, now.hash))) {
    log.error(
      { signed: before.sequence, found: now.sequence },
      'the audit does not go on where it ended: run holdfast audit verify',
    );
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
