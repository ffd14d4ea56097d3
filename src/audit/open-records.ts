import type { OpenAuditRecord } from '../store/control-store.ts';
import { BlockWriter } from './block-writer.ts';
import type { Dictionary } from './dictionary.ts';
import type { AuditEntry } from './event.ts';

/** Statements that had begun and not ended when a block was sealed, which the store has as one record. */
interface Group {
  readonly id: number;
  entries: readonly AuditEntry[];
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
  readonly #changed = new Set<Group>();
  #lastId: number;

  constructor(dictionary: Dictionary, lastId: number) {
    this.#writer = new BlockWriter(dictionary);
    this.#lastId = lastId;
  }

  /** A statement of that record has ended, or is begun anew, and its `openId` says so by the next seal. */
  left(id: number): void {
    const group = this.#groups.get(id);
    if (group !== undefined) this.#changed.add(group);
  }

  *running(): Iterable<AuditEntry> {
    for (const group of [...this.#groups.values()]) yield* stillIn(group);
  }

  /** What the store is to have by now, with those that have begun since the last time and have not ended. */
  record(begun: readonly AuditEntry[]): {
    readonly opened: readonly OpenAuditRecord[];
    readonly closed: readonly number[];
  } {
    const opened: OpenAuditRecord[] = [];
    const closed: number[] = [];
    for (const group of this.#changed) {
      group.entries = stillIn(group);
      if (group.entries.length > 0) opened.push(this.#encode(group));
      else {
        this.#groups.delete(group.id);
        closed.push(group.id);
      }
    }
    this.#changed.clear();
    let entries: AuditEntry[] = [];
    for (const entry of begun) {
      // An object that is used again may be here twice.
      if (entry.openId !== 0) continue;
      if (!this.#writer.append(asBegun(entry))) {
        opened.push(this.#open(entries));
        entries = [];
        if (!this.#writer.append(asBegun(entry))) throw new Error('one event fits an empty block');
      }
      entry.openId = this.#lastId + 1;
      entries.push(entry);
    }
    if (entries.length > 0) opened.push(this.#open(entries));
    return { opened, closed };
  }

  /** Makes the record of those that have been written. */
  #open(entries: readonly AuditEntry[]): OpenAuditRecord {
    const id = ++this.#lastId;
    this.#groups.set(id, { id, entries });
    return { id, bytes: this.#writer.seal(0).bytes };
  }

  #encode({ id, entries }: Group): OpenAuditRecord {
    for (const entry of entries) {
      if (!this.#writer.append(asBegun(entry))) throw new Error('what is left of a record fits a block');
    }
    return { id, bytes: this.#writer.seal(0).bytes };
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
