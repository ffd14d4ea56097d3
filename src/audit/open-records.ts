import type { OpenAuditRecord } from '../store/control-store.ts';
import { BlockWriter } from './block-writer.ts';
import type { Dictionary } from './dictionary.ts';
import type { AuditEntry } from './event.ts';

/** Statements that have begun and not ended, which the store has as one record. */
interface Group {
  readonly id: number;
  readonly entries: readonly AuditEntry[];
}

/** What the store is to be told, and the groups that there are once it is. */
export interface Recording {
  readonly opened: readonly OpenAuditRecord[];
  readonly closed: readonly number[];
  readonly groups: readonly Group[];
}

/**
 * The statements under way of which the store has a record, should their outcome never come. With many clients on few
 * rows nearly all of them wait for a lock at any time, so that a record for each would cost the store more than the
 * events themselves: those of one seal have one, which is written anew without those that have ended, and removed with
 * the last of them.
 */
export class OpenRecords {
  readonly #writer: BlockWriter;
  readonly #groups = new Map<number, Group>();
  /** Groups of which some have ended since they were recorded. */
  readonly #changed = new Set<number>();
  #lastId: number;

  constructor(dictionary: Dictionary, lastId: number) {
    this.#writer = new BlockWriter(dictionary);
    this.#lastId = lastId;
  }

  /** A statement of that record has ended, or is begun anew, and its `openId` says so by the next seal. */
  left(id: number): void {
    if (this.#groups.has(id)) this.#changed.add(id);
  }

  *running(): Iterable<AuditEntry> {
    for (const group of this.#groups.values()) yield* stillIn(group);
  }

  /**
   * What the store is to have by now, with those that have begun since the last time and have not ended. Nothing
   * changes before `keep`, so that whoever fails in between may ask again.
   */
  encode(begun: readonly AuditEntry[]): Recording {
    // Of a call that threw, something may be left there.
    this.#writer.discard();
    const opened: OpenAuditRecord[] = [];
    const closed: number[] = [];
    const groups: Group[] = [];
    const fresh: AuditEntry[] = [];
    for (const id of this.#changed) {
      const running = stillIn(this.#groups.get(id)!);
      if (running.length === 0) {
        closed.push(id);
        continue;
      }
      // Each may have a snapshot of its own by now, which all that were recorded together may have no room for.
      const { bytes, next } = this.#encodeFrom(running, 0);
      opened.push({ id, bytes });
      groups.push({ id, entries: running.slice(0, next) });
      for (let i = next; i < running.length; i++) fresh.push(running[i]!);
    }
    // An object that is used again may be here twice.
    for (const entry of new Set(begun.filter(({ openId }) => openId === 0))) fresh.push(entry);
    for (let from = 0, id = this.#lastId + 1; from < fresh.length; id++) {
      const { bytes, next } = this.#encodeFrom(fresh, from);
      opened.push({ id, bytes });
      groups.push({ id, entries: fresh.slice(from, next) });
      from = next;
    }
    return { opened, closed, groups };
  }

  /** The recording is on its way to the store. */
  keep({ closed, groups }: Recording): void {
    for (const id of closed) this.#groups.delete(id);
    for (const group of groups) {
      this.#groups.set(group.id, group);
      this.#lastId = Math.max(this.#lastId, group.id);
      for (const entry of group.entries) entry.openId = group.id;
    }
    this.#changed.clear();
  }

  /** The record of as many as fit one, and where the next begins. */
  #encodeFrom(
    entries: readonly AuditEntry[],
    from: number,
  ): { readonly bytes: Uint8Array; readonly next: number } {
    let next = from;
    while (next < entries.length && this.#writer.append(asBegun(entries[next]!))) next++;
    if (next === from) throw new Error('one event fits an empty block');
    return { bytes: this.#writer.seal(0).bytes, next };
  }
}

/** An object may have been used again since. */
function stillIn({ id, entries }: Group): readonly AuditEntry[] {
  return entries.filter(({ openId }) => openId === id);
}

/** As it is recorded before its outcome is known, and stays should that never come. */
function asBegun(entry: AuditEntry): AuditEntry {
  return { ...entry, end: 'lost', durationMs: -1, rows: -1, sqlstate: null, transactionStatus: '?' };
}
