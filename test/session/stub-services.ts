import type { ApprovalDesk, Asked, HoldOutcome, NewApproval } from '../../src/approval/approval.ts';
import type { AuditEntry, AuditLog } from '../../src/audit/event.ts';
import type { Logger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import type { Decision, Mode } from '../../src/policy/decision.ts';
import { DEFAULT_HOLD } from '../../src/policy/rule.ts';
import type { Restraints } from '../../src/restraint/restraint.ts';
import type { PolicySource } from '../../src/session/ruling/bound-policy.ts';
import type {
  Analyzer,
  PreviewServices,
  SessionServices,
  SnapshotServices,
} from '../../src/session/services.ts';
import {
  type Analysis,
  DEFAULT_TEXT_FACTS,
  isFollowed,
  type Risk,
  type SessionEffect,
  type StatementEffects,
  type TextFacts,
} from '../../src/sql/effects.ts';
import { RecentShapes } from '../../src/sql/recent/recent-shapes.ts';
import { RecentTexts } from '../../src/sql/recent/recent-texts.ts';
import { EXECUTES_UNKNOWN } from '../../src/sql/walk/rules-session.ts';

/**
 * The rest of the program as a session sees it, made so that a test can be read: a statement's first word says
 * what is decided. DELETE is blocked, UPDATE is held, all else may run; and a text with `later` in it is analysed
 * only when the test says so.
 */
export class StubServices implements SessionServices {
  readonly analyzer: Analyzer;
  readonly policy: PolicySource;
  readonly audit = new StubAudit();
  readonly approvals = new StubApprovals();
  readonly restraints: Restraints = { of: () => null, attempted() {} };
  readonly metrics = new Metrics();
  readonly log = { error() {}, warn() {}, info() {}, debug() {} } as unknown as Logger;
  readonly statementBytesMax: number;
  readonly catalog = null;
  readonly snapshots: SnapshotServices | null = null;
  previews: PreviewServices | null = null;
  readonly counts = null;
  recordsFirst = false;
  /** Texts that wait, with what lets their analyses go on. */
  readonly late: (() => void)[] = [];

  constructor(statementBytesMax: number, mode: Mode) {
    this.statementBytesMax = statementBytesMax;
    const rules = { decide: mode === 'monitor' ? allow : decide };
    this.policy = { current: { mode, forSession: () => rules } };
    // The text itself is its shape.
    const shapes = new RecentShapes();
    const texts = new RecentTexts();
    this.analyzer = {
      recent: (bytes, start, end, facts) => shapes.find(bytes, start, end, shelfOf(facts)),
      analyze: (bytes, start, end, facts) => {
        const analysis = this.analyze(bytes.toString('utf8', start, end), facts);
        if (!(analysis instanceof Promise) && shapes.find(bytes, start, end, shelfOf(facts)) === null)
          shapes.missed(bytes, start, end, shelfOf(facts), analysis);
        return analysis;
      },
      recentText: (bytes, start, end, facts) => texts.find(bytes, start, end, shelfOf(facts)),
      read: (bytes, start, end, facts) => {
        const known = texts.find(bytes, start, end, shelfOf(facts));
        if (known !== null) return known;
        const text = bytes.toString('utf8', start, end);
        const analysis = this.analyze(text, facts);
        if (analysis instanceof Promise) return analysis;
        texts.missed(bytes, start, end, shelfOf(facts), { analysis, text });
        return { analysis, text };
      },
      readPlpgsql: async () => ({ kind: 'unread', why: 'is not read' }),
    };
  }

  private analyze(text: string, facts: TextFacts): Analysis | Promise<Analysis> {
    if (text.includes('faulty')) throw new Error('the analyzer failed');
    const analysis = analyze(text, facts);
    if (!text.includes('later')) return analysis;
    return new Promise((resolve) => this.late.push(() => resolve(analysis)));
  }
}

function shelfOf({ encoding, standardConformingStrings, catalogFirst }: TextFacts): number {
  return (
    ['utf8', 'latin1', 'ascii-only'].indexOf(encoding) * 4 +
    Number(standardConformingStrings) * 2 +
    Number(catalogFirst)
  );
}

export class StubAudit implements AuditLog {
  saturated = false;
  failing = false;
  readonly begun: AuditEntry[] = [];
  /** Each as `text: how it ended`, with the SQLSTATE behind it. */
  readonly finished: string[] = [];

  begin(entry: AuditEntry): void {
    this.begun.push(entry);
  }

  finish(entry: AuditEntry): void {
    const what = entry.text ?? entry.analysis.operation;
    this.finished.push(`${what}: ${entry.end}${entry.sqlstate === null ? '' : ` ${entry.sqlstate}`}`);
  }

  withdraw(): void {}

  onceDrained(): void {}

  /** Whether what the session has begun is durable. */
  recorded = true;
  working = Promise.withResolvers<boolean>();

  /** How often what was begun was given up. */
  abandoned = 0;

  abandon(): void {
    this.abandoned++;
  }

  isRecorded(): boolean {
    return this.recorded;
  }

  async whenRecorded(): Promise<boolean> {
    return this.recorded;
  }

  whenWorking(): Promise<boolean> {
    return this.working.promise;
  }
}

class StubApprovals implements ApprovalDesk {
  /** What is being asked, newest last. */
  readonly asked: (NewApproval & { settle: (outcome: HoldOutcome) => void })[] = [];
  failure: Error | null = null;
  /** A decision is on its way to the store, so that whoever gives up comes too late there. */
  isDeciding = false;

  async request(approval: NewApproval): Promise<Asked> {
    if (this.failure !== null) throw this.failure;
    const { promise, resolve } = Promise.withResolvers<HoldOutcome>();
    this.asked.push({ ...approval, settle: resolve });
    const id = `a_${this.asked.length}`;
    return {
      kind: 'waits',
      id,
      isNew: true,
      held: {
        id,
        outcome: promise,
        compare: async () => ({ drift: [], rowsShown: null }),
        end: (kind) => this.isDeciding || resolve({ kind }),
      },
    };
  }
}

const RISK_OF: Readonly<Record<string, Risk>> = { delete: 'critical', update: 'high', insert: 'low' };

/** QUOTE is a text that says something else with standard_conforming_strings off, `f` a function that may be replaced. */
function analyze(text: string, facts: TextFacts): Analysis {
  let { catalogFirst } = facts;
  const statements = text
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const effects = effectsOf(part, catalogFirst);
      if (part.endsWith('= evil, pg_catalog')) catalogFirst = false;
      return effects;
    });
  if (text.includes('QUOTE') && !facts.standardConformingStrings) {
    return opaque('a test');
  }
  const worst =
    statements.find(({ risk }) => risk === 'critical') ??
    statements.find(({ risk }) => risk === 'high') ??
    statements[0];
  return Object.freeze({
    status: statements.length === 0 ? 'empty' : 'parsed',
    problem: '',
    statements,
    risk: worst?.risk ?? 'safe',
    operation: worst?.operation ?? 'empty',
    tables: [],
    redacted: null,
    context: {},
    touchesSession: statements.some(({ session }) => session.some(isFollowed)),
  } satisfies Analysis);
}

function opaque(problem: string): Analysis {
  const statement = { ...effectsOf('unknown'), risk: 'critical' } as const;
  return Object.freeze({
    ...analyze('unknown', DEFAULT_TEXT_FACTS),
    status: 'opaque',
    problem,
    statements: [statement],
    risk: 'critical',
  } satisfies Analysis);
}

export function effectsOf(text: string, catalogFirst = true): StatementEffects {
  const operation = (text.split(/\s/)[0] ?? '').toLowerCase();
  const replaced = !catalogFirst && text.endsWith(' f');
  // As the real one has it: what an EXECUTE runs is not known from its text, until the session resolves it.
  const executes = operation === 'execute';
  return {
    operation,
    operations: [operation],
    risk: executes || replaced ? 'critical' : (RISK_OF[operation] ?? 'safe'),
    reasons: executes ? [EXECUTES_UNKNOWN] : [],
    reads: [],
    writes: [],
    columns: [],
    functions: [],
    predicate: 'not-applicable',
    session: sessionEffects(text, catalogFirst),
    startByte: 0,
    lengthBytes: text.length,
  };
}

function sessionEffects(text: string, catalogFirst: boolean): SessionEffect[] {
  const prepare = /^PREPARE (\w+) AS (.*)$/.exec(text);
  if (prepare) return [{ kind: 'prepare', name: prepare[1]!, effects: effectsOf(prepare[2]!, catalogFirst) }];
  const execute = /^EXECUTE (\w+)$/.exec(text);
  if (execute) return [{ kind: 'execute', name: execute[1]!, ownRisk: 'safe' }];
  const deallocate = /^DEALLOCATE (\w+)$/.exec(text);
  if (deallocate) return [{ kind: 'deallocate', name: deallocate[1] === 'ALL' ? null : deallocate[1]! }];
  if (text === 'DISCARD ALL') return [{ kind: 'discard', target: 'all' }];
  const set = /^SET (LOCAL )?(\w+) = (.+)$/.exec(text);
  if (set) return [{ kind: 'set', name: set[2]!, value: set[3]!, local: set[1] !== undefined }];
  const reset = /^RESET (\w+)$/.exec(text);
  if (text === 'COMMIT') return [{ kind: 'transaction', verb: 'commit' }];
  if (text === 'ROLLBACK') return [{ kind: 'transaction', verb: 'rollback' }];
  if (reset) return [{ kind: 'reset', name: reset[1] === 'ALL' ? null : reset[1]! }];
  return [];
}

function groundsOf(analysis: Analysis) {
  return { rule: `rule of ${analysis.operation}`, reason: 'a test', risk: analysis.risk, wouldBe: null };
}

function allow(analysis: Analysis): Decision {
  return { ...groundsOf(analysis), action: 'allow' };
}

function decide(analysis: Analysis): Decision {
  const ground = groundsOf(analysis);
  if (analysis.risk === 'critical' || analysis.risk === 'forbidden') {
    return { ...ground, action: 'block', hint: 'do not' };
  }
  if (analysis.operation === 'update') {
    return { ...ground, action: 'hold', ...DEFAULT_HOLD, mode: 'live', snapshot: 'off' };
  }
  return allow(analysis);
}
