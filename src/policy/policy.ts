import { createHash } from 'node:crypto';
import { LIMITS } from '../base/limits.ts';
import type { Analysis, Risk } from '../sql/effects.ts';
import { parseClientAddress } from './client-pattern.ts';
import { type Brief, decide } from './decide.ts';
import type { Decision, Mode, SessionFacts } from './decision.ts';
import type { DecidedText } from './explanation.ts';
import { matchSession } from './match.ts';
import type { ColumnPattern } from './name-pattern.ts';
import type { Problem } from './problems.ts';
import { ByRows } from './row-bands.ts';
import type { RowCount } from './row-limit.ts';
import type { Measure, Rule, RuleMatch } from './rule.ts';

/** What a policy file says, checked and made ready. */
export interface PolicyParts {
  readonly mode: Mode;
  readonly defaults: Readonly<Record<Risk, Measure>>;
  readonly rules: readonly Rule[];
  /** Columns whose values are kept from previews. */
  readonly masks: readonly ColumnPattern[];
  readonly warnings: readonly Problem[];
}

/** A whole policy. It never changes; another text is another policy. */
export class Policy {
  /** The start of the SHA-256 of the text: what the audit says decided a statement. */
  readonly revision: string;
  readonly mode: Mode;
  /** The text that it was read from. */
  readonly source: string;
  readonly fileName: string;
  readonly rules: readonly Rule[];
  readonly masks: readonly ColumnPattern[];
  readonly defaults: Readonly<Record<Risk, Measure>>;
  /** What is accepted and does less than it seems to. */
  readonly warnings: readonly Problem[];
  readonly #sessions = new Map<string, SessionPolicy>();

  constructor(source: string, fileName: string, parts: PolicyParts) {
    this.revision = createHash('sha256').update(source).digest('hex').slice(0, 12);
    this.source = source;
    this.fileName = fileName;
    this.mode = parts.mode;
    this.rules = parts.rules;
    this.masks = parts.masks;
    this.defaults = parts.defaults;
    this.warnings = parts.warnings;
  }

  /** The policy as it concerns one session. Sessions with equal facts share one, and with it its decisions. */
  forSession(facts: SessionFacts): SessionPolicy {
    const key = JSON.stringify([facts.role, facts.database, facts.application, facts.client]);
    const found = this.#sessions.get(key);
    // Taking it out and putting it back keeps the map in the order of use, the oldest first.
    if (found !== undefined) this.#sessions.delete(key);
    const session = found ?? new SessionPolicy(this, facts);
    this.#sessions.set(key, session);
    if (this.#sessions.size > LIMITS.sessionPoliciesMax) {
      const [oldest] = this.#sessions.keys();
      if (oldest !== undefined) this.#sessions.delete(oldest);
    }
    return session;
  }
}

const namesObjects = ({ table, column, function: called }: RuleMatch): boolean =>
  table !== null || column !== null || called !== null;

/** A policy narrowed to one session's role, database, application and client. */
export class SessionPolicy {
  readonly policy: Policy;
  readonly #brief: Brief;
  readonly #decisions = new WeakMap<Analysis, Decision>();
  /** Null where no rule of the session has `rows`. */
  readonly byRows: ByRows | null;
  /** Whether a rule, for whomever, or a mask names tables, columns or functions: by another name they would escape it. */
  readonly goesByNames: boolean;

  constructor(policy: Policy, facts: SessionFacts) {
    this.policy = policy;
    const client = parseClientAddress(facts.client);
    const rules: Brief['rules'][number][] = [];
    for (const rule of policy.rules) {
      const session = matchSession(rule.match, facts, client);
      if (session !== 'no') rules.push({ rule, session });
    }
    this.#brief = { mode: policy.mode, defaults: policy.defaults, rules };
    this.goesByNames = policy.masks.length > 0 || policy.rules.some((rule) => namesObjects(rule.match));
    this.byRows = rules.some(({ rule }) => rule.match.rows !== null) ? new ByRows(this.#brief) : null;
  }

  /** What happens to the text. Analyses are shared and frozen, so that each is decided once. */
  decide(analysis: Analysis): Decision {
    const known = this.#decisions.get(analysis);
    if (known !== undefined) return known;
    const decision = decide(this.#brief, analysis);
    this.#decisions.set(analysis, decision);
    return decision;
  }

  /** As `decide`, of a text that is known to write so many rows, or null where nobody knows. */
  decideOf(analysis: Analysis, rows: RowCount | null): Decision {
    const decision = this.decide(analysis);
    return rows === null ? decision : (this.byRows?.decide(analysis, rows, decision) ?? decision);
  }

  /** What it decides, and what once rows are counted; `rows` where it is known how many the text writes. */
  decided(analysis: Analysis, rows: number | null): DecidedText {
    if (rows !== null)
      return { analysis, decision: this.decideOf(analysis, { least: rows, most: rows }), bands: null };
    return { analysis, decision: this.decide(analysis), bands: this.byRows?.bands(analysis) ?? null };
  }
}
