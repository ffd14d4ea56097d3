import type { BlobStore } from '../blobs/blob-store.ts';
import type { AuditSource } from '../store/audit-source.ts';
import { ChainWalk } from './chain-walk.ts';
import { type Fault, Faults } from './faults.ts';
import { HeadClaims, type TrustedKeys } from './head-claims.ts';

export interface Verdict {
  /** The last record that was dropped, and when, or null. */
  readonly cut: { readonly sequence: number; readonly time: string } | null;
  readonly records: number;
  readonly lastSeq: number;
  readonly lastHash: Uint8Array | null;
  /** The first record that is chained; null where none is. */
  readonly chainedFrom: number | null;
  readonly heads: number;
  /** The last record that a good head in the store covers, or null. */
  readonly signedTo: number | null;
  /** Null where there was no place of anchors to compare with. */
  readonly anchors: number | null;
  readonly anchoredTo: number | null;
  /** Anchors of keys that were not asked about. */
  readonly anchorsOfOthers: number;
  readonly keyIds: readonly string[];
  readonly faults: readonly Fault[];
  readonly faultCount: number;
}

/**
 * Verifies all of a stored audit: every record against the one before, the numbers, every head against the records
 * and its signature, every anchor against the records. The memory that it takes does not grow with the audit.
 */
export async function verifyAudit(
  source: AuditSource,
  anchors: BlobStore | null,
  trusted: TrustedKeys | null,
): Promise<Verdict> {
  const faults = new Faults();
  const claims = new HeadClaims(source.heads(), anchors, trusted, faults);
  const said = source.cut();
  const cut = said !== null && claims.cutBy(said) ? said : null;
  const walk = new ChainWalk(faults, cut);
  if (cut !== null) {
    // Of what was dropped nothing can be compared but where it ended.
    const due = await claims.upTo(cut.sequence);
    const at = (seq: number) => (seq === cut.sequence ? cut.hash : 'unknown');
    await claims.settle(due, new Map([...due].map((seq) => [seq, at(seq)])));
  }
  for (const row of source.rows()) {
    const due = await claims.upTo(row.lastSeq);
    await claims.settle(due, walk.row(row, due));
  }
  await claims.finish(walk, () => source.lastSeqNow());
  return {
    cut: cut === null ? null : { sequence: cut.sequence, time: cut.time },
    records: walk.records,
    lastSeq: walk.lastSeq,
    lastHash: walk.lastHash,
    chainedFrom: walk.chainedFrom,
    heads: claims.heads,
    signedTo: claims.signedTo,
    anchors: anchors === null ? null : claims.anchors,
    anchoredTo: claims.anchoredTo,
    anchorsOfOthers: claims.anchorsOfOthers,
    keyIds: claims.keyIds,
    faults: faults.listed,
    faultCount: faults.count,
  };
}
