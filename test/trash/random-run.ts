import { Random } from '../support/random.ts';
import { type Judged, judge, type Setting } from './as-dropped.ts';
import { randomDrop } from './random-objects.ts';

/** Random DROPs in random databases, judged one by one. */

export interface Case {
  readonly seed: number;
  readonly setup: readonly string[];
  readonly drop: string;
  readonly kind: Judged['outcome']['kind'] | 'error';
  readonly reason: string;
  readonly problems: readonly string[];
}

/** A child of a parent that stays: PostgreSQL has no way to say that its columns are inherited ones again. */
const KNOWN = [/^restored [-+] \((column|constraint),/];

/** A materialized view whose owner may not read what it is made of. */
const UNFILLED = /^restored [-+] (row of |\(relation,m,)/;

export async function runDrop(setting: Setting, seed: number): Promise<Case> {
  const { schemas, setup, drop } = randomDrop(new Random(seed), seed);
  const { client } = setting;
  const made: string[] = [];
  for (const sql of ['create publication pub', ...setup]) {
    const messages = await client.query(sql);
    if (!messages.some(({ type }) => type === 'E')) made.push(sql);
  }
  const base = { seed, setup: made, drop };
  let result: Case;
  try {
    const { outcome, restored, differences } = await judge(setting, drop);
    const inherits =
      outcome.kind === 'moved' && outcome.moved.notes.some((note) => note.includes('inherited'));
    const unfilled = restored?.kind === 'restored' && restored.lacking.length > 0;
    const problems = differences.filter(
      (line) => !(unfilled && UNFILLED.test(line)) && !(inherits && KNOWN.some((known) => known.test(line))),
    );
    const reason = outcome.kind === 'none' ? outcome.reason : '';
    if (process.env['SHOW'] !== undefined && reason.includes(process.env['SHOW'])) problems.push(reason);
    result = { ...base, kind: outcome.kind, reason, problems };
  } catch (error) {
    result = {
      ...base,
      kind: 'error',
      reason: '',
      problems: [error instanceof Error ? error.message : String(error)],
    };
    await client.query('rollback');
  }
  const quoted = [...schemas, 'holdfast_trash'].map((name) => `"${name.replaceAll('"', '""')}"`);
  await client.rows(`drop schema if exists ${quoted.join(', ')} cascade; drop publication pub`);
  await client.rows(`drop function trigger_${schemas[0]}`);
  return result;
}

export function shownCase({ seed, setup, drop, kind, problems }: Case): string {
  return `seed ${seed}: ${kind}\n${setup.join(';\n')};\n${drop}\n${problems
    .slice(0, 12)
    .map((line) => `   ${line.slice(0, 300)}`)
    .join('\n')}`;
}

export function tally(cases: readonly Case[]): {
  kinds: Record<string, number>;
  reasons: Record<string, number>;
  wrong: Case[];
} {
  const count = (items: readonly string[]) =>
    Object.fromEntries([...Map.groupBy(items, (item) => item)].map(([key, all]) => [key, all.length]));
  return {
    kinds: count(cases.map(({ kind }) => kind)),
    reasons: count(
      cases.flatMap(({ reason }) =>
        reason === '' ? [] : [reason.replaceAll(/"[^"]*"|s\d+\S*|\S*\d+\S*/g, '…')],
      ),
    ),
    wrong: cases.filter(({ problems }) => problems.length > 0),
  };
}
