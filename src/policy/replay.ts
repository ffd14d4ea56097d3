import { LIMITS } from '../base/limits.ts';
import type { Analysis, Risk } from '../sql/effects.ts';
import { MASK } from '../sql/secrets/redact.ts';
import type { Action, SessionFacts } from './decision.ts';
import type { Policy } from './policy.ts';
import type { RowCount } from './row-limit.ts';

/** What of a recorded event a policy is asked about again. */
export interface ReplayedEvent {
  readonly id: string;
  readonly time: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  /** Address and port. */
  readonly client: string;
  readonly sql: string | null;
  readonly sql_truncated: boolean;
  readonly statement_index: number;
  readonly protocol: string;
  readonly action: Action;
  readonly rule: string;
  readonly end: string;
  /** As many as it has written, by its command tag. */
  readonly rows: number | null;
  /** As many as it was decided by. */
  readonly rows_counted:
    | { readonly least: number; readonly most: number | null }
    | { readonly unknown: string }
    | null;
}

export interface ReplayExample {
  readonly id: string;
  readonly time: string;
  readonly role: string;
  readonly database: string;
  readonly sql: string;
}

/** Statements that are decided in another way than they were, for the same reasons. */
export interface ReplayChange {
  readonly from: Action;
  readonly to: Action;
  readonly rule_before: string;
  readonly rule: string;
  readonly risk: Risk;
  readonly count: number;
  /** The newest. */
  readonly examples: readonly ReplayExample[];
}

export interface ReplayResult {
  /** How many were decided again, and how many of them as before. */
  readonly decided: number;
  readonly same: number;
  /** Those that the audit does not tell enough of. */
  readonly skipped: Readonly<Record<SkipReason, number>>;
  /** The most frequent first. */
  readonly changes: readonly ReplayChange[];
}

export type SkipReason = 'no_text' | 'cut_text' | 'masked_text' | 'prepared_elsewhere';

/** Decides recorded statements again, under a policy that is not in force. */
export class Replay {
  readonly #policy: Policy;
  readonly #changes = new Map<string, { -readonly [K in keyof ReplayChange]: ReplayChange[K] }>();
  readonly #skipped: Record<SkipReason, number> = {
    no_text: 0,
    cut_text: 0,
    masked_text: 0,
    prepared_elsewhere: 0,
  };
  #decided = 0;
  #same = 0;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  /** `read` gives the effects of a text. */
  async add(event: ReplayedEvent, read: (sql: string) => Promise<Analysis>): Promise<void> {
    // The first of a text stands for all of them, which are decided together; and what administrators do is no statement.
    if (event.statement_index > 0 || event.protocol === 'admin') return;
    if (event.sql === null) return this.#skip('no_text');
    if (event.sql_truncated) return this.#skip('cut_text');
    // What stands for a secret may have stood for what decides.
    if (event.sql.includes(MASK)) return this.#skip('masked_text');
    const analysis = await read(event.sql);
    if (analysis.statements.some(({ session }) => session.some(({ kind }) => kind === 'execute')))
      return this.#skip('prepared_elsewhere');
    const { action, rule, risk } = this.#policy.forSession(factsOf(event)).decideOf(analysis, rowsOf(event));
    this.#decided++;
    if (action === event.action) {
      this.#same++;
      return;
    }
    this.#changed(event, action, rule, risk);
  }

  get result(): ReplayResult {
    const changes = [...this.#changes.values()].sort((a, b) => b.count - a.count);
    return { decided: this.#decided, same: this.#same, skipped: { ...this.#skipped }, changes };
  }

  #skip(reason: SkipReason): void {
    this.#skipped[reason]++;
  }

  #changed(event: ReplayedEvent, to: Action, rule: string, risk: Risk): void {
    const { id, time, role, database, action: from, rule: rule_before } = event;
    const key = JSON.stringify([from, to, rule_before, rule, risk]);
    let change = this.#changes.get(key);
    if (change === undefined) {
      change = { from, to, rule_before, rule, risk, count: 0, examples: [] };
      this.#changes.set(key, change);
    }
    change.count++;
    const sql = event.sql!.slice(0, LIMITS.replayExampleChars);
    const isNew = !change.examples.some((each) => each.sql === sql);
    if (isNew && change.examples.length < LIMITS.replayExamplesMax)
      change.examples = [...change.examples, { id, time, role, database, sql }];
  }
}

/** What the audit tells of its rows: those that it wrote, else those that were counted before it was decided. */
function rowsOf({ end, rows, rows_counted: counted }: ReplayedEvent): RowCount | null {
  if (end === 'completed' && rows !== null) return { least: rows, most: rows };
  return counted !== null && 'least' in counted ? counted : null;
}

function factsOf({ role, database, application, client }: ReplayedEvent): SessionFacts {
  return { role, database, application, client: client.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1') };
}
