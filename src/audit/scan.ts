import type { StoredAuditBlock } from '../store/control-store.ts';
import { readBlocks } from './block-reader.ts';
import { type AuditFilter, matcher } from './filter.ts';
import { type RecordedEvent, recordedEvent } from './recorded-event.ts';

export interface Scan {
  readonly blocks: readonly StoredAuditBlock[];
  readonly filter: AuditFilter;
  /** Only events before this one. */
  readonly beforeSeq: number;
  readonly limit: number;
}

/** Events that match, newest first; `blocks` are newest first as well. */
export function scan({ blocks, filter, beforeSeq, limit }: Scan): RecordedEvent[] {
  const found: RecordedEvent[] = [];
  for (const stored of blocks) {
    for (const block of readBlocks(stored.bytes).reverse()) {
      const matches = matcher(filter, block);
      if (matches === null) continue;
      for (let i = block.events - 1; i >= 0; i--) {
        if (block.firstSeq + i >= beforeSeq || !matches(i)) continue;
        found.push(recordedEvent(block, i));
        if (found.length === limit) return found;
      }
    }
  }
  return found;
}
