import { isIP } from 'node:net';
import { InvalidArgumentError } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { loadConfig } from '../config/load.ts';
import type { Decision, Hold, SessionFacts, Snapshot } from '../policy/decision.ts';
import { formatDuration } from '../policy/duration.ts';
import { type DecidedText, explanationOf, relationText, statementText } from '../policy/explanation.ts';
import { DEFAULT_POLICY, loadPolicyFile } from '../policy/load.ts';
import { bandText } from '../policy/row-bands.ts';
import { asTemporary } from '../session/capturing/as-temporary.ts';
import type { StatementEffects } from '../sql/effects.ts';
import { type AddCommand, configFile } from './command.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { numberFrom } from './snapshots.ts';
import { alignRows, toJson } from './table.ts';

interface Options extends SessionFacts {
  readonly config?: string;
  readonly policy?: string;
  readonly json?: boolean;
  readonly exitCode?: boolean;
  readonly rows?: number;
}

const SQL_CHARS_MAX = 100;

export const addExplain: AddCommand = (program, io, finish) => {
  program
    .command('explain')
    .description(
      'say what a statement would do and what policy decides, without a server and without running it',
    )
    .argument('<sql>', 'SQL text, or - to read it from standard input')
    .option('--role <name>', 'role of the session', 'postgres')
    .option('--database <name>', 'database of the session', 'postgres')
    .option('--application <name>', 'application_name of the session', '')
    .option('--client <address>', 'IP address of the client, or local', addressGiven, '127.0.0.1')
    .option(
      '--rows <number>',
      'how many rows it writes, as the gateway would count them',
      numberFrom(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--policy <file>', 'policy file, instead of the one that the configuration names')
    .option('--config <file>', 'configuration file (or HOLDFAST_CONFIG)')
    .option('--exit-code', 'exit with 3 where the decision is not to allow')
    .option('--json', 'print JSON')
    .action(async (sql: string, options: Options) => finish(await explain(sql, options, io)));
};

/** By one that is none a rule would not match, and be thought not to. */
function addressGiven(text: string): string {
  if (text === 'local' || isIP(text) !== 0) return text;
  throw new InvalidArgumentError('It is an IP address, or local.');
}

async function explain(sql: string, options: Options, io: Io): Promise<ExitCode> {
  const text = sql === '-' ? await io.readInput() : sql;
  if (text.includes('\0'))
    throw new HoldfastError('CONFIG_INVALID', 'the SQL text has a NUL byte, which PostgreSQL refuses');
  const path = options.policy ?? loadConfig({ ...configFile(options.config, io), env: io.env }).policy;
  const policy = path === null ? DEFAULT_POLICY : loadPolicyFile(path);
  const facts: SessionFacts = {
    role: options.role,
    database: options.database,
    application: options.application,
    client: options.client,
  };
  // The parser takes longer to load than all the rest, and the other commands do without it.
  const { AnalysisCache } = await import('../sql/cache.ts');
  const analysis = await new AnalysisCache().analyzeText(text);
  const session = policy.forSession(facts);
  const decided = session.decided(analysis, options.rows ?? null);
  const temporary = decided.decision.action === 'allow' ? null : asTemporary(analysis, text);
  const ofTemporary = temporary === null ? null : session.decided(temporary, null).decision;
  if (options.json === true) io.out(toJson(explanationOf(text, facts, policy, decided)));
  else io.out(describe(decided, ofTemporary, text));
  return options.exitCode === true && decided.decision.action !== 'allow' ? EXIT.notAllowed : EXIT.ok;
}

function describe(
  { analysis, decision, bands }: DecidedText,
  ofTemporary: Decision | null,
  text: string,
): string {
  const rows: string[][] = [];
  if (analysis.problem !== '') rows.push([analysis.status, printable(analysis.problem)]);
  for (const [index, effects] of analysis.statements.entries()) {
    rows.push([`statement ${index + 1}`, oneLine(statementText(analysis, effects, text), SQL_CHARS_MAX)]);
    rows.push(...effectRows(effects).map(([name, value]) => [`  ${name}`, printable(value)]));
  }
  if (analysis.statements.some(({ session }) => session.some(({ kind }) => kind === 'execute'))) {
    rows.push([
      'note',
      'what EXECUTE runs is not known here; the gateway decides by what the session has prepared',
    ]);
  }
  if (ofTemporary !== null) {
    const measure = `${measureText(ofTemporary)} by ${printable(ofTemporary.rule)}`;
    rows.push(['note', `where it names nothing but temporary tables of its session: ${measure}`]);
  }
  rows.push(
    ['decision', measureText(decision)],
    ['rule', printable(decision.rule)],
    ['reason', printable(decision.reason)],
  );
  if (decision.draft !== undefined)
    rows.push(['draft', `${printable(decision.draft.rule)} would ${decision.draft.action}`]);
  if (bands !== null) {
    rows.push(['rows', 'they are counted before it is decided; the above is where they cannot be']);
    for (const band of bands) {
      const { rule } = band.decision;
      rows.push([`  ${bandText(band)}`, `${measureText(band.decision)} by ${printable(rule)}`]);
    }
  }
  if (decision.action === 'block') rows.push(['hint', printable(decision.hint)]);
  return alignRows(rows);
}

function effectRows(effects: StatementEffects): (readonly [string, string])[] {
  const inner = effects.operations.filter((operation) => operation !== effects.operation);
  const lists: readonly (readonly [string, readonly string[]])[] = [
    ['operation', [effects.operation + (inner.length > 0 ? ` (with ${inner.join(', ')})` : '')]],
    ['risk', [effects.risk]],
    ['because', effects.reasons],
    ['writes', effects.writes.map(relationText)],
    ['reads', effects.reads.map(relationText)],
    [
      'columns',
      effects.columns.map(({ table, name }) => (table === null ? name : `${relationText(table)}.${name}`)),
    ],
    ['calls', effects.functions],
  ];
  return lists
    .filter(([, items]) => items.length > 0)
    .map(([name, items]) => [name, items.join(', ')] as const);
}

/** With what happens where no exact plan exists, which is `hold` unless policy says otherwise. */
function snapshotText({ snapshot, withoutPlan }: Snapshot | Hold): string {
  return snapshot === 'required' ? `required; without a plan ${withoutPlan?.kind ?? 'block'}` : snapshot;
}

function measureText(decision: Decision): string {
  switch (decision.action) {
    case 'allow':
      return decision.wouldBe === null ? 'allow' : `allow (mode monitor; protect would ${decision.wouldBe})`;
    case 'snapshot':
      return `snapshot (${snapshotText(decision)})`;
    case 'hold': {
      const people = `${decision.approvals} approval${decision.approvals === 1 ? '' : 's'}`;
      return `hold (${people} within ${formatDuration(decision.timeoutMs)}, snapshot ${snapshotText(decision)})`;
    }
    case 'block':
      return 'block';
    default:
      return decision satisfies never;
  }
}
