import { isFatalError } from '../../src/wire/backend.ts';
import * as fe from '../support/frontend-messages.ts';
import type { Random } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';

/** One destructive statement that was sent, and what its client was told of it. */
export interface Attempt {
  readonly number: number;
  /** The rows of `precious` that it is about, or the table of its own that it drops. */
  readonly what:
    | { readonly kind: 'rows'; readonly first: number; readonly last: number }
    | { readonly kind: 'table'; readonly name: string };
  told: 'committed' | 'rolled back' | null;
}

interface Way {
  readonly messages: (attempt: Attempt) => Buffer[];
  readonly segments: number;
  readonly commits: boolean;
  readonly drops: boolean;
  /** It is about one row alone. */
  readonly ofOne?: true;
  /** The tag that says it is committed, whatever comes behind: where nothing but ReadyForQuery says so, null. */
  readonly done: RegExp | null;
}

/** What tells the statements apart in snapshots and in the audit. */
export const markOf = ({ number }: Attempt): string => `/* attempt ${number} */`;
export const ROWS_AT_ONCE = 3;

const statementOf = (attempt: Attempt, verb: string, range: (first: number, last: number) => string) => {
  const { what } = attempt;
  if (what.kind === 'table') return `${markOf(attempt)} drop table ${what.name}`;
  return `${markOf(attempt)} ${verb} where id between ${range(what.first, what.last)}`;
};
const rangeOf = ({ what }: Attempt) => (what.kind === 'rows' ? ([what.first, what.last] as const) : [0, 0]);

const query = (verb: string) => (attempt: Attempt) => [
  fe.query(statementOf(attempt, verb, (first, last) => `${first} and ${last}`)),
];
/** As it is run in the round trip in which its row is captured, which a comment would keep it from. */
const queryOfOne = (verb: string) => (attempt: Attempt) => [
  fe.query(`${verb} where id = ${rangeOf(attempt)[0]} and 'attempt ${attempt.number} ' <> ''`),
];
const extended = (verb: string) => (attempt: Attempt) => {
  if (attempt.what.kind === 'table')
    return [
      fe.parse(
        '',
        statementOf(attempt, verb, () => ''),
      ),
      fe.bind(),
      fe.execute(),
      fe.sync(),
    ];
  const [first, last] = rangeOf(attempt);
  return [
    fe.parse(
      '',
      statementOf(attempt, verb, () => '$1 and $2'),
      [23, 0],
    ),
    fe.bind({ parameterFormats: [1, 0], parameters: [fe.int32(first!), String(last)] }),
    fe.execute(),
    fe.sync(),
  ];
};
const block = (inner: Way['messages'], end: string) => (attempt: Attempt) => [
  fe.query('begin'),
  ...inner(attempt),
  fe.query(end),
];

const ALONE = /^(?:DELETE|UPDATE|DROP TABLE)/;
const BLOCK = /^COMMIT/;
const waysOf = (verb: string, drops: boolean): readonly Way[] => [
  { messages: query(verb), segments: 1, commits: true, drops, done: ALONE },
  // A DROP is committed ahead of the Sync behind it.
  { messages: extended(verb), segments: 1, commits: true, drops, done: drops ? ALONE : null },
  { messages: block(query(verb), 'commit'), segments: 3, commits: true, drops, done: BLOCK },
  { messages: block(extended(verb), 'commit'), segments: 3, commits: true, drops, done: BLOCK },
  { messages: block(extended(verb), 'rollback'), segments: 3, commits: false, drops, done: null },
];

const wayOfOne = (verb: string): Way => ({
  messages: queryOfOne(verb),
  segments: 1,
  commits: true,
  drops: false,
  ofOne: true,
  done: ALONE,
});

const WAYS: readonly Way[] = [
  ...waysOf('delete from precious', false),
  ...waysOf(`update precious set note = 'changed'`, false),
  wayOfOne('delete from precious'),
  wayOfOne(`update precious set note = 'changed'`),
  wayOfOne(`update precious set note = 'changed as well'`),
  ...waysOf('', true),
];

export interface Battle {
  readonly attempts: Attempt[];
  /** Where clients connect to by now; the gateway is often another one than a moment ago. */
  port(): number;
  /** Makes something by a connection to the server itself. */
  made(sql: string): Promise<void>;
  readonly rows: number;
  lastRow: number;
  isOver: boolean;
}

/** Destroys something again and again, each time something else, and connects anew whenever it is cut off. */
export async function write(battle: Battle, random: Random): Promise<void> {
  let client: RawClient | null = null;
  while (!battle.isOver) {
    client ??= await RawClient.open(battle.port()).catch(() => null);
    if (client === null) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      continue;
    }
    const way = random.pick(WAYS);
    const attempt = await begin(battle, way, random);
    if (attempt === null) break;
    if (await sent(client, way, attempt)) continue;
    client.destroy();
    client = null;
  }
  client?.destroy();
}

async function begin(battle: Battle, way: Way, random: Random): Promise<Attempt | null> {
  const number = battle.attempts.length + 1;
  let what: Attempt['what'];
  if (way.drops) {
    what = { kind: 'table', name: `table_${number}` };
  } else {
    if (battle.lastRow + ROWS_AT_ONCE > battle.rows) return null;
    what = {
      kind: 'rows',
      first: battle.lastRow + 1,
      last: battle.lastRow + (way.ofOne === true ? 1 : random.between(1, ROWS_AT_ONCE)),
    };
    battle.lastRow += ROWS_AT_ONCE;
  }
  const attempt: Attempt = { number, what, told: null };
  battle.attempts.push(attempt);
  if (what.kind === 'table') {
    await battle.made(`create table ${what.name} (id int primary key, note text);
      insert into ${what.name} values (1, 'one'), (2, 'two')`);
  }
  return attempt;
}

/** Notes what the client is told, as it is told; returns whether the session goes on. */
async function sent(client: RawClient, way: Way, attempt: Attempt): Promise<boolean> {
  client.write(...way.messages(attempt));
  for (let ready = 0; ready < way.segments; ) {
    const message = await client.next(120_000);
    // A FATAL tells of the session, and nothing of a statement that has not been answered yet.
    if (message === null || (message.type === 'E' && isFatalError(message.body))) return false;
    if (message.type === 'E') attempt.told = 'rolled back';
    if (message.type === 'C' && way.done?.test(message.body.toString('latin1')) === true)
      attempt.told ??= 'committed';
    if (message.type === 'Z') ready++;
  }
  attempt.told ??= way.commits ? 'committed' : 'rolled back';
  return true;
}
