import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import { relationText, type TableCode } from '../catalog/table-code.ts';
import type { Analysis } from '../sql/effects.ts';
import type { SessionState } from './state.ts';

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
    for (const name of writes) names.add(relationText(name));
  }
  const tables = names.size === 0 ? NOTHING : [...names];
  written.set(analysis, tables);
  return tables;
}

interface Known {
  readonly code: TableCode;
  readonly untilMs: number;
}

/** What sessions have learnt, for others of the same role and database. By the services that they share. */
const learnt = new WeakMap<object, Map<string, Known>>();

/**
 * Which tables run code of the user's when they are written, as far as that has been asked: what such code may change
 * is in doubt from then on, as behind any code that the gateway has not read, and behind all other writes it is not.
 *
 * Invariant: what is known of a name is of the table that the server finds by it, since it was asked under the same
 * search_path, and nothing was under way or could be taken back that may have made the name mean another.
 */
export class WrittenTables {
  private readonly state: SessionState;
  private readonly shared: Map<string, Known>;
  /** What is known under `path`. */
  private readonly own = new Map<string, Known>();
  private path: string | null = null;
  /** The session has made tables or changed its role, so that names may mean something else in it than in others. */
  private isApart = false;
  /** What it made them in may be taken back. */
  private mayBeTakenBack = false;
  private changes = 0;
  /** What `changes` was when the last DISCARD ALL was sent. */
  private discardedAt = -1;

  constructor(state: SessionState) {
    this.state = state;
    let shared = learnt.get(state.services);
    if (shared === undefined) {
      shared = new Map();
      learnt.set(state.services, shared);
    }
    this.shared = shared;
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

  learn(found: ReadonlyMap<string, TableCode>): void {
    const { knownPath } = this.state.settings;
    if (knownPath === null) return;
    this.under(knownPath);
    const untilMs = nowMs() + LIMITS.tableCodeMs;
    for (const [name, code] of found) {
      this.own.set(name, { code, untilMs });
      if (this.isApart) continue;
      if (this.shared.size >= LIMITS.tableCodesMax) this.shared.clear();
      this.shared.set(this.sharedKey(name), { code, untilMs });
    }
  }

  /** A statement is sent with which names may mean other tables, or tables have other triggers. */
  changed(): void {
    this.own.clear();
    this.isApart = true;
    this.mayBeTakenBack = true;
    this.changes++;
  }

  /** A DISCARD ALL is sent; pools put one between two users of a session. */
  discards(): void {
    this.discardedAt = this.changes;
  }

  /** It has succeeded, so that the session is as a new one, unless something else was sent since. */
  discarded(): void {
    if (this.discardedAt === this.changes) this.isApart = false;
  }

  ready(status: 'I' | 'T' | 'E'): void {
    if (status !== 'I' || !this.mayBeTakenBack) return;
    this.own.clear();
    this.mayBeTakenBack = false;
  }

  private find(name: string, now: number): TableCode | null {
    const { knownPath } = this.state.settings;
    if (knownPath === null) {
      // What it is feared to do has been done; so that many writes one after another are not asked about each.
      const last = this.own.get(name)?.code ?? 'none';
      return last === 'none' ? null : last;
    }
    this.under(knownPath);
    const own = this.own.get(name);
    if (own !== undefined && own.untilMs > now) return own.code;
    if (this.isApart) return null;
    const shared = this.shared.get(this.sharedKey(name));
    if (shared === undefined || shared.untilMs <= now) return null;
    this.own.set(name, shared);
    return shared.code;
  }

  private under(path: string): void {
    if (this.path === path) return;
    this.own.clear();
    this.path = path;
  }

  private sharedKey(name: string): string {
    const { database, role } = this.state.facts;
    return JSON.stringify([database, role, this.path, name]);
  }
}
