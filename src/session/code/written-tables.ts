import { LIMITS } from '../../base/limits.ts';
import { quoteQualified } from '../../catalog/quote.ts';
import type { TableCode } from '../../catalog/table-code.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { SessionState } from '../state.ts';
import { KnownByPath, SharedByPath } from './known-by-path.ts';

/** Statements that have triggers, defaults and the like run. */
const WRITES: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge', 'truncate', 'copy from']);

const NOTHING: readonly string[] = Object.freeze([]);

/** Of analyses, which are kept and used again. */
const written = new WeakMap<Analysis, readonly string[]>();

/** The tables that the statements write, by their names as they stand in the text. */
function tablesOf(analysis: Analysis): readonly string[] {
  const { statements } = analysis;
  // Most statements only read, and are not looked up for that.
  if (statements.length === 1 && statements[0]!.writes.length === 0) return NOTHING;
  const known = written.get(analysis);
  if (known !== undefined) return known;
  const names = new Set<string>();
  for (const { operations, writes } of statements) {
    if (writes.length === 0 || !operations.some((each) => WRITES.has(each))) continue;
    for (const { schema, name } of writes) names.add(quoteQualified(schema, name));
  }
  const tables = names.size === 0 ? NOTHING : [...names];
  written.set(analysis, tables);
  return tables;
}

/** Whether it has to be known of any table what code runs with the statements. */
export function writesTables(analysis: Analysis): boolean {
  return tablesOf(analysis).length > 0;
}

/** What sessions have learnt, for others of the same role and database. By the services that they share. */
const learnt = new WeakMap<object, SharedByPath<TableCode>>();

/**
 * Which tables run code of the user's when they are written, as far as that has been asked: what such code may change
 * is in doubt from then on, as behind any code that the gateway has not read, and behind all other writes it is not.
 */
export class WrittenTables {
  private readonly state: SessionState;
  private readonly known: KnownByPath<TableCode>;

  constructor(state: SessionState) {
    this.state = state;
    let shared = learnt.get(state.services);
    if (shared === undefined) {
      shared = new SharedByPath(LIMITS.tableCodesMax);
      learnt.set(state.services, shared);
    }
    this.known = new KnownByPath(state, shared, LIMITS.tableCodeMs);
  }

  /** The tables of which it has to be asked; none where it would change nothing. */
  unknown(analysis: Analysis, now: number): readonly string[] {
    const tables = tablesOf(analysis);
    let unknown: string[] | null = null;
    for (let i = 0; i < tables.length; i++) {
      const known = this.find(tables[i]!, now);
      if (known === 'names') return NOTHING;
      if (known !== null) continue;
      unknown ??= [];
      unknown.push(tables[i]!);
    }
    return unknown ?? NOTHING;
  }

  /** The statement is sent: how dangerous what runs with it may be. */
  codeOf(analysis: Analysis, now: number): TableCode {
    const tables = tablesOf(analysis);
    // What was known when it was decided may be old by a little more.
    const since = now - LIMITS.tableCodeMs;
    let worst: TableCode = 'none';
    for (let i = 0; i < tables.length; i++) {
      const code = this.find(tables[i]!, since) ?? 'names';
      if (code === 'names') return code;
      if (code === 'settings') worst = code;
    }
    return worst;
  }

  /** It is asked now. */
  get moment(): number {
    return this.known.moment;
  }

  /** `moment` is that at which it was asked. */
  learn(found: ReadonlyMap<string, TableCode>, moment: number): void {
    this.known.learn(found, moment);
  }

  /** What ends a transaction, or takes a part of it back, is sent: dropped triggers may be there again. */
  transactionEnds(): void {
    this.known.transactionEnds();
  }

  segmentEnds(isInBlock: boolean): void {
    this.known.segmentEnds(isInBlock);
  }

  /** A statement is sent with which names may mean other tables, or tables have other triggers. */
  changed(): void {
    this.known.changed();
  }

  /** A DISCARD ALL is sent; pools put one between two users of a session. */
  discards(): void {
    this.known.discards();
  }

  /** It has succeeded, so that the session is as a new one, unless something else was sent since. */
  discarded(): void {
    this.known.discarded();
  }

  ready(status: 'I' | 'T' | 'E'): void {
    this.known.ready(status);
  }

  private find(name: string, now: number): TableCode | null {
    if (this.state.settings.knownPath !== null) return this.known.find(name, now);
    // What it is feared to do has been done; so that many writes one after another are not asked about each.
    const last = this.known.last(name) ?? 'none';
    return last === 'none' ? null : last;
  }
}
