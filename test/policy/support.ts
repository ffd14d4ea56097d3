import type { SessionFacts } from '../../src/policy/decision.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import type { Analysis, ColumnName, RelationName, Risk, StatementEffects } from '../../src/sql/effects.ts';
import { worseRisk } from '../../src/sql/effects.ts';

export const ETL: SessionFacts = {
  role: 'etl',
  database: 'shop',
  application: 'nightly',
  client: '10.1.2.3',
};

/** `hr.payroll` or `payroll`, as a statement names it. */
export function table(text: string): RelationName {
  const [name, schema] = text.split('.').reverse();
  return { schema: schema ?? null, name: name! };
}

export function column(text: string): ColumnName {
  const parts = text.split('.');
  const name = parts.pop()!;
  return { table: parts.length === 0 ? null : table(parts.join('.')), name };
}

interface Shape {
  readonly operation?: string;
  readonly operations?: readonly string[];
  readonly risk?: Risk;
  readonly reasons?: readonly string[];
  readonly reads?: readonly string[];
  readonly writes?: readonly string[];
  readonly columns?: readonly string[];
  readonly functions?: readonly string[];
  readonly opaque?: boolean;
  readonly rowsMax?: number;
}

export function statement(shape: Shape = {}): StatementEffects {
  const operation = shape.operation ?? 'delete';
  return {
    operation,
    operations: shape.operations ?? [operation],
    risk: shape.risk ?? 'critical',
    reasons: shape.reasons ?? [],
    reads: (shape.reads ?? []).map(table),
    writes: (shape.writes ?? []).map(table),
    columns: (shape.columns ?? []).map(column),
    functions: shape.functions ?? [],
    predicate: 'not-applicable',
    session: shape.opaque === true ? [{ kind: 'opaque-code' }] : [],
    ...(shape.rowsMax === undefined ? {} : { rowsMax: shape.rowsMax }),
    startByte: 0,
    lengthBytes: 0,
  };
}

export function text(
  statements: readonly StatementEffects[],
  more: Partial<Pick<Analysis, 'status' | 'context'>> = {},
): Analysis {
  return Object.freeze({
    status: more.status ?? 'parsed',
    problem: '',
    statements,
    risk: statements.map((one) => one.risk).reduce(worseRisk, 'safe'),
    operation: statements[0]?.operation ?? 'empty',
    tables: [],
    redacted: null,
    context: more.context ?? {},
    touchesSession: false,
  });
}

export const one = (shape: Shape = {}, more: Parameters<typeof text>[1] = {}): Analysis =>
  text([statement(shape)], more);

export const unparsed = (): Analysis => one({ operation: 'unknown' }, { status: 'unparsable' });

/** The action and the rule that policy gives, such as `hold payroll`. */
export function decided(policy: string, analysis: Analysis, facts: SessionFacts = ETL): string {
  const decision = loadPolicy(policy, 'policy.yaml').forSession(facts).decide(analysis);
  return `${decision.action} ${decision.rule}`;
}

/** A policy of these rules. */
export const rules = (...lines: string[]): string =>
  `mode: protect\nrules:\n${lines.map((line) => `  - ${line}\n`).join('')}`;
