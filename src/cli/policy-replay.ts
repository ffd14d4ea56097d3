import { readSettings } from '../policy/load.ts';
import type { ReplayChange } from '../policy/replay.ts';
import { AdminClient, type AdminOptions, type Fields, withAdminOptions } from './admin-client.ts';
import type { AddCommand } from './command.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { countText, toJson } from './table.ts';

interface Options extends AdminOptions {
  readonly since?: string;
  readonly until?: string;
  readonly role?: string;
  readonly database?: string;
  readonly events: string;
}

const SQL_CHARS_MAX = 100;
const EXAMPLES_MAX = 3;
const SKIPPED = {
  no_text: 'without a text',
  cut_text: 'with a text that was cut',
  masked_text: 'with a part that is kept as a secret',
  prepared_elsewhere: 'that execute what was prepared elsewhere',
} as const;

interface Sum {
  policy: unknown;
  events: number;
  decided: number;
  same: number;
  skipped: Record<keyof typeof SKIPPED, number>;
  changes: ReplayChange[];
}

export const addPolicyReplay: AddCommand = (policy, io) => {
  withAdminOptions(policy.command('replay'))
    .description('decide what the audit has again under another policy file, and say what would be otherwise')
    .argument('<file>', 'the policy file to try, which is not put in force')
    .option('--since <time>', 'only statements from then on')
    .option('--until <time>', 'only statements before then')
    .option('--role <role>', 'only statements of this role')
    .option('--database <database>', 'only statements in this database')
    .option('--events <count>', 'how many events to look at, the newest first', '100000')
    .action(async (file: string, options: Options) => await replay(file, options, io));
};

async function replay(file: string, options: Options, io: Io): Promise<void> {
  const { since, until, role, database } = options;
  const asked: Fields = { policy: readSettings(file, 'POLICY_INVALID'), since, until, role, database };
  const client = new AdminClient(options, io);
  const sum: Sum = {
    policy: null,
    events: 0,
    decided: 0,
    same: 0,
    skipped: { no_text: 0, cut_text: 0, masked_text: 0, prepared_elsewhere: 0 },
    changes: [],
  };
  const wanted = Number(options.events);
  let cursor: string | undefined;
  do {
    const events = Math.min(20_000, wanted - sum.events);
    const answer = await client.post('/v1/policy/replay', { ...asked, events, cursor });
    add(sum, answer as unknown as Sum);
    cursor = typeof answer['next'] === 'string' ? answer['next'] : undefined;
  } while (cursor !== undefined && sum.events < wanted);
  sum.changes.sort((a, b) => b.count - a.count);
  io.out(options.json === true ? toJson({ ...sum, complete: cursor === undefined }) : described(sum));
}

function add(sum: Sum, answer: Sum): void {
  sum.policy = answer.policy;
  sum.events += answer.events;
  sum.decided += answer.decided;
  sum.same += answer.same;
  for (const reason of Object.keys(SKIPPED) as (keyof typeof SKIPPED)[])
    sum.skipped[reason] += answer.skipped[reason];
  for (const change of answer.changes) {
    const at = sum.changes.findIndex((each) => isAlike(each, change));
    const known = sum.changes[at];
    if (known === undefined) sum.changes.push(change);
    else {
      const examples = [...known.examples, ...change.examples].slice(0, EXAMPLES_MAX);
      sum.changes[at] = { ...known, count: known.count + change.count, examples };
    }
  }
}

function isAlike(a: ReplayChange, b: ReplayChange): boolean {
  return (['from', 'to', 'rule_before', 'rule', 'risk'] as const).every((field) => a[field] === b[field]);
}

const NEWLY = { block: 'blocked', hold: 'held', snapshot: 'snapshotted', allow: 'allowed' } as const;

function described({ decided, same, skipped, changes, events }: Sum): string {
  const lines: string[] = [];
  for (const to of ['block', 'hold', 'snapshot', 'allow'] as const) {
    const those = changes.filter((change) => change.to === to);
    if (those.length === 0) continue;
    const count = those.reduce((total, change) => total + change.count, 0);
    lines.push(`newly ${NEWLY[to]}: ${countText(count, 'statement')}`);
    for (const { from, rule_before, rule, count: times, examples } of those) {
      lines.push(
        `  ${times.toLocaleString('en-US')} × ${from} by ${printable(rule_before)} → ${to} by ${printable(rule)}`,
      );
      for (const { time, role, database, sql } of examples)
        lines.push(
          `      ${time.slice(0, 19)}Z ${printable(`${role}@${database}`)}  ${oneLine(sql, SQL_CHARS_MAX)}`,
        );
    }
  }
  lines.push(
    `${countText(decided, 'statement')} of ${countText(events, 'event')} decided again, ${same} as before`,
  );
  for (const [reason, what] of Object.entries(SKIPPED)) {
    const count = skipped[reason as keyof typeof SKIPPED];
    if (count > 0) lines.push(`not decided: ${count} ${what}`);
  }
  return `${lines.join('\n')}\n`;
}
