import { HoldfastError } from '../base/errors.ts';
import type { Config } from '../config/config.ts';
import { formatEndpoint } from '../config/endpoint.ts';
import { loadConfig } from '../config/load.ts';
import { loadTokensFile, type TokenOfFile } from '../config/tokens.ts';
import { loadWebhooksFile } from '../config/webhooks.ts';
import { DEFAULT_POLICY, loadPolicyFile } from '../policy/load.ts';
import type { Policy } from '../policy/policy.ts';
import { formatProblem, InvalidSettings, type Problem } from '../policy/problems.ts';
import { type AddCommand, configFile } from './command.ts';
import { EXIT } from './exit-code.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';
import { alignRows, toJson } from './table.ts';

interface Options {
  readonly config?: string;
  readonly policy?: string;
  readonly tokens?: string;
  readonly json?: boolean;
}

export const addCheck: AddCommand = (program, io, finish) => {
  program
    .command('check')
    .description('read configuration, policy and tokens, and say what is loaded or everything that is wrong')
    .option('--config <file>', 'configuration file (or HOLDFAST_CONFIG)')
    .option('--policy <file>', 'policy file, instead of the one that the configuration names')
    .option('--tokens <file>', 'tokens file, instead of the one that the configuration names')
    .option('--json', 'print JSON')
    .action((options: Options) => finish(check(options, io)));
};

/** Goes on after a fault, so that one run names the faults of all files. */
function check(options: Options, io: Io): 0 | 2 {
  const problems: Problem[] = [];
  const attempt = <T>(load: () => T): T | null => {
    try {
      return load();
    } catch (error) {
      problems.push(...problemsOf(error));
      return null;
    }
  };
  const config = attempt(() => loadConfig({ ...configFile(options.config, io), env: io.env }));
  const policyPath = options.policy ?? config?.policy ?? null;
  const policy = attempt(() => (policyPath === null ? DEFAULT_POLICY : loadPolicyFile(policyPath)));
  const tokensPath = options.tokens ?? config?.admin.tokens ?? null;
  const tokens = attempt(() => (tokensPath === null ? [] : loadTokensFile(tokensPath)));
  const webhooks = config?.webhooks ?? null;
  if (webhooks !== null) attempt(() => loadWebhooksFile(webhooks));
  const warnings = [...(config?.warnings ?? []), ...(policy?.warnings ?? [])];
  if (problems.length > 0 || config === null || policy === null || tokens === null) {
    if (options.json === true) io.out(toJson({ ok: false, problems, warnings }));
    else for (const problem of problems) io.err(`${printable(formatProblem(problem))}\n`);
    return EXIT.invalid;
  }
  if (options.json === true) {
    io.out(toJson({ ok: true, problems, warnings, ...asJson(config, policy, tokens, tokensPath) }));
  } else {
    io.out(alignRows(asRows(config, policy, tokens, tokensPath)));
    for (const warning of warnings) io.out(`warning: ${printable(formatProblem(warning))}\n`);
  }
  return EXIT.ok;
}

function problemsOf(error: unknown): readonly Problem[] {
  if (error instanceof InvalidSettings) return error.problems;
  if (!(error instanceof HoldfastError)) throw error;
  const [source = '', ...rest] = error.message.split(': ');
  return [{ source, line: null, column: null, message: rest.join(': ') }];
}

function asRows(
  config: Config,
  policy: Policy,
  tokens: readonly TokenOfFile[],
  tokensPath: string | null,
): string[][] {
  const { upstream } = config;
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  return [
    ['configuration', config.file ?? 'defaults and environment'],
    ['clients', `${formatEndpoint(config.listen)}, TLS ${config.tls.mode}`],
    [
      'upstream',
      upstream === null
        ? 'embedded PostgreSQL with sample data'
        : `${formatEndpoint(upstream)}, sslmode ${upstream.ssl.mode}`,
    ],
    ['admin API', formatEndpoint(config.admin.listen)],
    ['store', `${config.store.kind}:${config.store.path}`],
    [
      'policy',
      `${policy.fileName}: mode ${policy.mode}, ${count(policy.rules.length, 'rule')}, revision ${policy.revision}`,
    ],
    ['tokens', `${tokensPath ?? 'no file'}: ${count(tokens.length, 'token')}`],
  ].map((row) => row.map(printable));
}

/** Nothing that is secret: no keys, no connection strings, no hashes. */
function asJson(
  config: Config,
  policy: Policy,
  tokens: readonly TokenOfFile[],
  tokensPath: string | null,
): object {
  const { upstream } = config;
  return {
    config: {
      file: config.file,
      listen: formatEndpoint(config.listen),
      upstream: upstream === null ? null : { address: formatEndpoint(upstream), sslmode: upstream.ssl.mode },
      tls: config.tls.mode,
      admin_listen: formatEndpoint(config.admin.listen),
      store: `${config.store.kind}:${config.store.path}`,
    },
    policy: {
      file: policy.fileName,
      revision: policy.revision,
      mode: policy.mode,
      rules: policy.rules.map((rule) => ({ name: rule.name, action: rule.measure.action })),
    },
    tokens: { file: tokensPath, names: tokens.map((token) => token.name) },
  };
}
