import { loadConfig } from '../config/load.ts';
import { type CaseOutcome, judgeCase, loadCases } from '../policy/cases.ts';
import { DEFAULT_POLICY, loadPolicyFile, readSettings } from '../policy/load.ts';
import { type AddCommand, configFile } from './command.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { alignRows, countText, toJson } from './table.ts';

interface Options {
  readonly config?: string;
  readonly policy?: string;
  readonly json?: boolean;
}

const SQL_CHARS_MAX = 100;

export const addPolicyTest: AddCommand = (policy, io, finish) => {
  policy
    .command('test')
    .description(
      'decide the statements of a file of cases, and say which are not decided as they ought to be',
    )
    .argument('<file>', 'YAML: cases, each with sql, who runs it, and what is expected')
    .option('--policy <file>', 'policy file, instead of the one that the configuration names')
    .option('--config <file>', 'configuration file (or HOLDFAST_CONFIG)')
    .option('--json', 'print JSON')
    .action(async (file: string, options: Options) => finish(await test(file, options, io)));
};

async function test(file: string, options: Options, io: Io): Promise<ExitCode> {
  const cases = loadCases(readSettings(file, 'POLICY_INVALID'), file);
  const path = options.policy ?? loadConfig({ ...configFile(options.config, io), env: io.env }).policy;
  const policy = path === null ? DEFAULT_POLICY : loadPolicyFile(path);
  // The parser takes longer to load than all the rest, and the other commands do without it.
  const { AnalysisCache } = await import('../sql/cache.ts');
  const analyses = new AnalysisCache();
  const outcomes: CaseOutcome[] = [];
  for (const each of cases) outcomes.push(judgeCase(policy, each, await analyses.analyzeText(each.sql)));
  const differing = outcomes.filter(({ differences }) => differences.length > 0);
  if (options.json === true) {
    const { fileName, revision } = policy;
    const counts = { cases: outcomes.length, differing: differing.length };
    io.out(toJson({ policy: { file: fileName, revision }, ...counts, outcomes }));
  } else {
    for (const outcome of differing) io.out(described(outcome));
    const all = countText(outcomes.length, 'case');
    io.out(
      differing.length === 0 ? `${all}, all as expected\n` : `${all}, ${differing.length} not as expected\n`,
    );
  }
  return differing.length === 0 ? EXIT.ok : EXIT.differs;
}

function described({ name, sql, session, differences, decision }: CaseOutcome): string {
  const { role, database, application, client } = session;
  const who = `${role}@${database} from ${client}${application === '' ? '' : ` (${application})`}`;
  const rows = differences.flatMap(({ field, expected, actual }) => [
    [`- ${field}`, printable(String(expected))],
    [`+ ${field}`, actual === null ? 'none' : printable(String(actual))],
  ]);
  const facts = [
    ['  sql', oneLine(sql, SQL_CHARS_MAX)],
    ['  session', printable(who)],
    ['  rule', printable(decision.rule)],
    ['  because', printable(decision.reason)],
  ];
  return `${printable(name)}\n${alignRows([...rows, ...facts])}\n`;
}
