import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { SignedCut, SignedHeadRow } from '../store/control-store.ts';
import { GENESIS } from './chain.ts';
import type { ChainWalk, HashAt } from './chain-walk.ts';
import type { FaultKind, Faults } from './faults.ts';
import { ANCHOR_FOLDER, anchorKey, decodeAnchor, isSignedAsItSays, parseAnchorKey } from './signed-head.ts';

/** The public keys that heads may be signed with, by their ids. */
export type TrustedKeys = ReadonlyMap<string, Uint8Array>;

interface Anchor {
  readonly key: string;
  readonly sequence: number;
  readonly keyId: string;
  readonly hash: Uint8Array;
}

/**
 * What heads, in the store and anchored, say of the records, compared with the records as these go by. Both come in
 * the order of their numbers. The name of an anchor says all that can be compared, so that only those are read
 * which contradict the records, and the newest.
 */
export class HeadClaims {
  heads = 0;
  anchors = 0;
  anchorsOfOthers = 0;
  signedTo: number | null = null;
  anchoredTo: number | null = null;
  readonly #stored: Iterator<SignedHeadRow>;
  readonly #anchored: AsyncIterator<Anchor> | null;
  readonly #blobs: BlobStore | null;
  readonly #faults: Faults;
  /** Null until the first head in the store says whose this audit is. */
  #trusted: TrustedKeys | null;
  /** Where the whole place is another store's, that is told once and not of each. */
  readonly #named: boolean;
  #nextStored: SignedHeadRow | null;
  #nextAnchor: Anchor | null = null;
  #newestAnchor: Anchor | null = null;
  /** Those under way, by the number of their record. */
  #heads: SignedHeadRow[] = [];
  #copies: Anchor[] = [];
  /** The last records before the chain, as heads say. */
  readonly #begins: number[] = [];

  constructor(
    stored: Iterable<SignedHeadRow>,
    blobs: BlobStore | null,
    trusted: TrustedKeys | null,
    faults: Faults,
  ) {
    this.#stored = stored[Symbol.iterator]();
    this.#blobs = blobs;
    this.#anchored = blobs === null ? null : this.#listAnchors(blobs)[Symbol.asyncIterator]();
    this.#trusted = trusted;
    this.#named = trusted !== null;
    this.#faults = faults;
    this.#nextStored = this.#pullStored();
    if (trusted === null && this.#nextStored !== null) {
      this.#trusted = new Map([[this.#nextStored.keyId, this.#nextStored.publicKey]]);
    }
  }

  get keyIds(): readonly string[] {
    return [...(this.#trusted?.keys() ?? [])];
  }

  /** The records that were dropped, if who is trusted has signed that they were. */
  cutBy(cut: SignedCut): boolean {
    const known = this.#trusted?.get(cut.keyId);
    if (known !== undefined && same(known, cut.publicKey) && isSignedAsItSays(cut, 'cut')) return true;
    const what = `said to be dropped, with what precedes it, by a cut that ${known === undefined ? `another key, ${cut.keyId}, has signed` : 'its key has not signed'}`;
    this.#fault('head', cut.sequence, cut.time, what);
    return false;
  }

  /** Takes up what is said of records up to this one, and gives their numbers. */
  async upTo(seq: number): Promise<ReadonlySet<number>> {
    if (this.#anchored !== null && this.#nextAnchor === null && this.#newestAnchor === null) {
      this.#nextAnchor = await this.#pullAnchor();
    }
    while (this.#nextStored !== null && this.#nextStored.sequence <= seq) {
      this.#heads.push(this.#nextStored);
      this.#nextStored = this.#pullStored();
    }
    while (this.#nextAnchor !== null && this.#nextAnchor.sequence <= seq) {
      this.#copies.push(this.#nextAnchor);
      this.#nextAnchor = await this.#pullAnchor();
    }
    return new Set([...this.#heads, ...this.#copies].map((one) => one.sequence));
  }

  /** Compares what was taken up with the records. */
  async settle(due: ReadonlySet<number>, found: ReadonlyMap<number, HashAt>): Promise<void> {
    if (due.size === 0) return;
    const names = new Set(this.#copies.map((copy) => copy.key));
    for (const head of this.#heads) this.#settleHead(head, found.get(head.sequence) ?? 'unknown', names);
    for (const copy of this.#copies) await this.#settleAnchor(copy, found.get(copy.sequence) ?? 'unknown');
    this.#heads = [];
    this.#copies = [];
  }

  /** Compares what is left with where the records end. */
  async finish(walk: ChainWalk, lastSeqNow: () => number): Promise<void> {
    // Where there is no record at all, heads may still say so.
    const due = await this.upTo(walk.lastSeq);
    await this.settle(due, new Map([...due].map((seq) => [seq, 'unchained'])));
    await this.#beyond(walk.lastSeq, lastSeqNow());
    const begin = (walk.chainedFrom ?? walk.lastSeq + 1) - 1;
    for (const seq of this.#begins.filter((one) => one !== begin)) {
      this.#fault('head', seq, null, `said by a head to be the last before the chain, which is ${begin}`);
    }
    if (this.heads === 0 && walk.chainedFrom !== null) {
      this.#fault('head', walk.lastSeq, null, 'not signed: there is no head in the store');
    }
    if (this.#newestAnchor !== null) await this.#read(this.#newestAnchor);
    await this.#removedAnchors();
  }

  /** Nobody has a reason to remove an anchor, but whoever has cut off the records that it is of. */
  async #removedAnchors(): Promise<void> {
    for await (const key of this.#blobs?.removed?.(ANCHOR_FOLDER) ?? []) {
      const said = parseAnchorKey(key);
      if (said === null || this.#trusted?.has(said.keyId) === false) continue;
      this.#fault(
        'anchor',
        said.sequence,
        null,
        `of an anchor that was removed, and that a lock keeps: ${key}`,
      );
    }
  }

  /** Heads of records that are not there; with a gateway at work, of those that were not there yet. */
  async #beyond(lastSeq: number, lastSeqNow: number): Promise<void> {
    await this.upTo(Number.MAX_SAFE_INTEGER);
    const far = [...this.#heads, ...this.#copies].filter((one) => one.sequence > lastSeqNow);
    const last = far.reduce((seq, one) => Math.max(seq, one.sequence), 0);
    if (last > 0) {
      const head = this.#heads.find((one) => one.sequence === last);
      const where = head === undefined ? 'anchor' : 'head';
      const what = `cut off: a signed ${where} says that there were records up to ${last}`;
      this.#faults.add({ kind: 'missing', first: lastSeq + 1, last, time: head?.time ?? null, what });
    }
    for (const copy of this.#copies.filter((one) => one.sequence > lastSeqNow)) await this.#read(copy);
    this.#heads = [];
    this.#copies = [];
  }

  #settleHead(head: SignedHeadRow, hash: HashAt, anchors: ReadonlySet<string>): void {
    const { sequence, time } = head;
    const known = this.#trusted?.get(head.keyId);
    if (known === undefined || !same(known, head.publicKey)) {
      this.#fault('head', sequence, time, `signed with another key, ${head.keyId}`);
      return;
    }
    if (!isSignedAsItSays(head)) {
      this.#fault('head', sequence, time, 'under a head whose signature is not that of its key');
    } else if (this.#fits(sequence, head.hash, hash)) {
      this.signedTo = sequence;
    } else if (hash !== 'unknown') {
      this.#fault('head', sequence, time, 'not the record that was signed, or one before it is not');
    }
    if (head.anchored && this.#blobs !== null && !anchors.has(anchorKey(head))) {
      this.#fault('anchor', sequence, time, 'without the anchor that was made of its head');
    }
  }

  async #settleAnchor(anchor: Anchor, hash: HashAt): Promise<void> {
    if (this.#fits(anchor.sequence, anchor.hash, hash)) this.anchoredTo = anchor.sequence;
    else if (hash !== 'unknown' && (await this.#read(anchor))) {
      const what = 'not the record that was signed and anchored, or one before it is not';
      this.#fault('anchor', anchor.sequence, null, what);
    }
  }

  #fits(sequence: number, claimed: Uint8Array, hash: HashAt): boolean {
    if (hash === 'unknown' || hash === 'within') return false;
    if (hash !== 'unchained') return same(claimed, hash);
    if (!same(claimed, GENESIS)) return false;
    this.#begins.push(sequence);
    return true;
  }

  /** Whether an anchor is the head that its name says; where not, that is a fault by itself. */
  async #read(anchor: Anchor): Promise<boolean> {
    const head = decodeAnchor(await readShort(this.#blobs!, anchor.key));
    if (head !== null && anchorKey(head) === anchor.key) return true;
    this.#fault('anchor', anchor.sequence, null, `under an anchor that is no signed head: ${anchor.key}`);
    return false;
  }

  #pullStored(): SignedHeadRow | null {
    const next = this.#stored.next();
    if (next.done === true) return null;
    this.heads++;
    return next.value;
  }

  async #pullAnchor(): Promise<Anchor | null> {
    for (;;) {
      const next = await this.#anchored!.next();
      if (next.done === true) return null;
      const anchor = next.value;
      if (this.#trusted?.has(anchor.keyId) === true) {
        this.anchors++;
        this.#newestAnchor = anchor;
        return anchor;
      }
      if (this.anchorsOfOthers++ > 0 || this.#named) continue;
      const what = `anchored with another key, ${anchor.keyId}: say whose this audit is with --public-key`;
      this.#fault('anchor', anchor.sequence, null, what);
    }
  }

  async *#listAnchors(blobs: BlobStore): AsyncIterable<Anchor> {
    for await (const { key } of blobs.list(ANCHOR_FOLDER)) {
      const said = parseAnchorKey(key);
      if (said === null) this.#fault('anchor', 0, null, `no anchor, and in their place: ${key}`);
      else yield { key, ...said };
    }
  }

  #fault(kind: FaultKind, seq: number, time: string | null, what: string): void {
    this.#faults.add({ kind, first: seq, last: seq, time, what });
  }
}

async function readShort(blobs: BlobStore, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of blobs.read(key, { end: LIMITS.auditAnchorBytes })) chunks.push(chunk);
  } catch (error) {
    // What is damaged is no head; what cannot be reached is nothing that was verified.
    if (!(error instanceof HoldfastError) || error.code !== 'BLOB_DAMAGED') throw error;
  }
  return Buffer.concat(chunks);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
