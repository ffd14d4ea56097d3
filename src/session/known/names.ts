import { LIMITS } from '../../base/limits.ts';
import type { Decision } from '../../policy/decision.ts';
import type { Analysis, TextFacts } from '../../sql/effects.ts';
import type { Circumstances } from '../ruling/plain-portal.ts';
import type { ToldTypes } from './parameter-types.ts';

/**
 * The prepared statements and portals of one session, as PostgreSQL keeps them: one namespace of statements for
 * the protocol's Parse and SQL's PREPARE. A change counts once the server has answered that it was made. Before that
 * only the segment that has asked for it may rely on it: if it fails, so does all that follows in the segment.
 */

export interface PreparedStatement {
  /** Null where SQL PREPARE made it; its text is part of another. */
  readonly text: string | null;
  /** The text of a Parse byte for byte, where `text` is not (`exactText`). */
  readonly exact?: string | undefined;
  /** Where SQL PREPARE made it: the whole text that it was part of, as the server keeps it, if that is known. */
  readonly source?: string | null;
  /** The types of its parameters that a Parse has declared, as they are on the wire. */
  readonly types: string;
  readonly analysis: Analysis;
  /** How the text was read; a later epoch reads it again. */
  readonly facts: TextFacts;
  readonly epoch: number;
  /** When its literals were read. */
  readonly literalsEpoch: number;
  /** The portal of its last Bind that was plain (plain-portal.ts), to be given again. */
  plain?: Portal | null;
  /** The types of its parameters, until it is parsed again. */
  told?: ToldTypes | null;
}

/** The length of the texts that a statement keeps. */
export function charsOf({ text, exact, source, types }: PreparedStatement): number {
  return (text ?? source ?? '').length + (exact?.length ?? 0) + types.length;
}

/** The statements that EXECUTEs in a text name, as things stood. */
export type Executed = readonly (PreparedStatement | null | typeof UNSETTLED)[];

export interface Portal {
  readonly statement: PreparedStatement;
  /** What its text was read as, and what that runs by the name of a statement, with the epoch in which it was. */
  readonly read: Analysis;
  readonly executed: Executed;
  readonly epoch: number;
  /** The text with what its EXECUTEs run. */
  readonly resolved: Analysis;
  readonly mayComeToCall: boolean;
  /** What was decided of: the same, or a call of the code that its reads lead to. */
  readonly analysis: Analysis;
  readonly decision: Decision;
  readonly parameters: number;
  readonly approvalId: string | null;
  readonly holdMs: number;
  /** It was let through because it would lose nothing; it never runs but where that is proved. */
  readonly losesNothing: boolean;
  /** What it was decided by, beside its epoch, where it is plain; else null. */
  readonly plainBy: Circumstances | null;
}

/** PostgreSQL keys names by their first NAMEDATALEN - 1 bytes: longer ones that agree so far are one name. */
const NAME_BYTES = 63;

/** The key of a name that stands in `bytes[start, end)`. Latin-1 keeps one character a byte, whatever the encoding. */
export function nameKey(bytes: Buffer, start: number, end: number): string {
  if (start === end) return '';
  return bytes.latin1Slice(start, Math.min(end, start + NAME_BYTES));
}

/** The key of a name as SQL text gives it, where the server keeps names in UTF-8: it cuts between two characters. */
export function sqlNameKey(name: string): string {
  const bytes = Buffer.from(name, 'utf8');
  let end = Math.min(bytes.length, NAME_BYTES);
  while (end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.latin1Slice(0, end);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range is that of ASCII.
const ASCII = /^[\x00-\x7f]*$/;

/** Whether a name, or the key of one, is the same in every encoding. */
export function isAsciiName(name: string): boolean {
  return ASCII.test(name);
}

/** A change that SQL text makes: PREPARE sets a name, DEALLOCATE removes one (null), or all. */
export interface SqlNameChange {
  readonly name: string | null;
  readonly value: PreparedStatement | null;
  /** Which statement of a Query makes the change; those before the one that fails stand. */
  readonly statementIndex: number;
}

/**
 * The name may have been changed by an earlier segment that is not answered yet. Every message that names something asks
 * for this, and V8 compares with a symbol by a call.
 */
export const UNSETTLED = undefined;

/** What is known of one name. It is kept as long as any of it says something. */
interface Slot<T> {
  /** What the server has. */
  made: T | null;
  /** What the open segment has asked for, if `askedIn` is that segment; null takes the name away. */
  asked: T | null;
  askedIn: number;
  /** Changes asked for and not answered. */
  unanswered: number;
}

export class Names<T extends object> {
  /** What the named ones that the server has keep in memory. */
  private namedChars = 0;
  private readonly charsOf: (value: T) => number;
  /** The unnamed statement or portal comes with nearly every message, and so is found without looking it up. */
  private readonly unnamed = emptySlot<T>();
  private readonly named = new Map<string, Slot<T>>();
  /** Names that the open segment has asked for, to be tidied up behind it. */
  private readonly askedFor: string[] = [];
  private segment = 1;
  private openTakesAll = false;
  /** Changes that SQL text makes, asked for and not answered; they may concern any name. */
  private unansweredSql = 0;
  private openSql = 0;
  /** How often messages have been sent that change a name. */
  changes = 0;
  /** A message has been sent that makes the unnamed one, or takes it away. */
  hasUnnamed = false;

  constructor(charsOf: (value: T) => number = () => 0) {
    this.charsOf = charsOf;
  }

  get size(): number {
    return this.named.size;
  }

  /** Which limit would be passed by giving the name as well to what keeps a text of that length; a first one fits. */
  fullFor(name: string, chars: number): 'number' | 'texts' | null {
    if (name === '') return null;
    if (this.named.size >= LIMITS.namesMax && this.peek(name) === null) return 'number';
    return this.namedChars > 0 && this.namedChars + chars > LIMITS.namedTextChars ? 'texts' : null;
  }

  /** What the name stands for when the next message runs; null for nothing that the gateway knows. */
  lookup(name: string): T | null | typeof UNSETTLED {
    const slot = name === '' ? this.unnamed : this.named.get(name);
    if (slot !== undefined && slot.askedIn === this.segment) return slot.asked;
    if (this.openTakesAll && name !== '') return null;
    if (this.unansweredSql > this.openSql) return UNSETTLED;
    if (slot === undefined) return null;
    return slot.unanswered > 0 ? UNSETTLED : slot.made;
  }

  /** As `lookup`, where it does no harm to be wrong for a moment. */
  peek(name: string): T | null {
    const slot = name === '' ? this.unnamed : this.named.get(name);
    if (slot === undefined) return null;
    return slot.askedIn === this.segment ? slot.asked : slot.made;
  }

  /** Whether the open segment has asked for what the name stands for. */
  isAsked(name: string): boolean {
    const slot = name === '' ? this.unnamed : this.named.get(name);
    return slot !== undefined && slot.askedIn === this.segment;
  }

  /** A message that makes this change has been sent. */
  ask(name: string, value: T | null): void {
    const slot = this.slotFor(name);
    if (slot === this.unnamed) this.hasUnnamed = true;
    else this.changes++;
    slot.unanswered++;
    this.overlay(name, slot, value);
  }

  /** As `ask`, of a message that was sent in a segment that is closed by now. */
  owe(name: string): void {
    this.slotFor(name).unanswered++;
  }

  /** The server has answered: the change was made, or was not. */
  answer(name: string, value: T | null, wasMade: boolean): void {
    const slot = this.slotFor(name);
    if (slot.unanswered > 0) slot.unanswered--;
    if (wasMade) this.setMade(slot, value);
    this.dropIfEmpty(name, slot);
  }

  /** A message has been sent whose SQL text changes names; in a Query, which is a segment of its own, `inOpen` is false. */
  askSql(
    changes: readonly { readonly name: string | null; readonly value: T | null }[],
    inOpen: boolean,
  ): void {
    this.unansweredSql++;
    if (!inOpen) return;
    this.openSql++;
    for (const { name, value } of changes) {
      if (name !== null) this.overlay(name, this.slotFor(name), value);
      else {
        for (const slot of this.named.values()) slot.askedIn = 0;
        this.openTakesAll = true;
      }
    }
  }

  /** The message asked for by `askSql` is answered in full; `inOpen` as long as its segment is still the open one. */
  answerSql(inOpen: boolean): void {
    this.unansweredSql--;
    if (inOpen && this.openSql > 0) this.openSql--;
  }

  /** The server has made the change; a null name takes all away, but for the unnamed one. */
  make(name: string | null, value: T | null): void {
    if (name === null) {
      this.clearNamed();
      return;
    }
    if (value === null && name !== '' && !this.named.has(name)) return;
    const slot = this.slotFor(name);
    this.setMade(slot, value);
    this.dropIfEmpty(name, slot);
  }

  /** What the name stands for is not known any more; nothing is under way that changes it. */
  forget(name: string): void {
    const slot = this.named.get(name);
    if (slot === undefined) return;
    this.setMade(slot, null);
    slot.asked = null;
    this.dropIfEmpty(name, slot);
  }

  forgetNamed(): void {
    for (const name of [...this.named.keys()]) this.forget(name);
  }

  /** The segment has been closed by a Sync or a Query: what follows cannot rely on it before it is answered. */
  closeSegment(): void {
    this.segment++;
    this.openTakesAll = false;
    this.openSql = 0;
    if (this.askedFor.length > 0) this.tidyUp();
  }

  /** The transaction is over, and what it made with it. */
  clearMade(): void {
    this.unnamed.made = null;
    if (this.named.size > 0) this.clearNamed();
  }

  private clearNamed(): void {
    for (const [name, slot] of this.named) {
      this.setMade(slot, null);
      this.dropIfEmpty(name, slot);
    }
  }

  private setMade(slot: Slot<T>, value: T | null): void {
    if (slot !== this.unnamed) {
      if (slot.made !== null) this.namedChars -= this.charsOf(slot.made);
      if (value !== null) this.namedChars += this.charsOf(value);
    }
    slot.made = value;
  }

  private slotFor(name: string): Slot<T> {
    if (name === '') return this.unnamed;
    let slot = this.named.get(name);
    if (slot === undefined) {
      slot = emptySlot();
      this.named.set(name, slot);
    }
    return slot;
  }

  private overlay(name: string, slot: Slot<T>, value: T | null): void {
    if (name !== '' && slot.askedIn !== this.segment) this.askedFor.push(name);
    slot.asked = value;
    slot.askedIn = this.segment;
  }

  private dropIfEmpty(name: string, slot: Slot<T>): void {
    if (slot.made !== null || slot.unanswered > 0 || slot.askedIn === this.segment) return;
    if (name !== '') this.named.delete(name);
  }

  /** What the closed segment asked for and the server has answered already may be nothing by now. */
  private tidyUp(): void {
    for (const name of this.askedFor) {
      const slot = this.named.get(name);
      if (slot === undefined) continue;
      slot.asked = null;
      this.dropIfEmpty(name, slot);
    }
    while (this.askedFor.length > 0) this.askedFor.pop();
  }
}

function emptySlot<T>(): Slot<T> {
  return { made: null, asked: null, askedIn: 0, unanswered: 0 };
}
