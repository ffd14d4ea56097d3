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
const extended = (verb: string) => (attempt: Attempt) => {
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

const WAYS: readonly Way[] = [
  ...['delete from precious', `update precious set note = 'changed'`].flatMap((verb) => [
    { messages: query(verb), segments: 1, commits: true, drops: false },
    { messages: extended(verb), segments: 1, commits: true, drops: false },
    { messages: block(query(verb), 'commit'), segments: 3, commits: true, drops: false },
    { messages: block(extended(verb), 'commit'), segments: 3, commits: true, drops: false },
    { messages: block(extended(verb), 'rollback'), segments: 3, commits: false, drops: false },
  ]),
  { messages: query(''), segments: 1, commits: true, drops: true },
  { messages: block(query(''), 'commit'), segments: 3, commits: true, drops: true },
  { messages: block(query(''), 'rollback'), segments: 3, commits: false, drops: true },
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
    attempt.told = await sent(client, way, attempt);
    if (attempt.told !== null) continue;
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
      last: battle.lastRow + random.between(1, ROWS_AT_ONCE),
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

/** What the client was told; null where it was cut off before it had read all. */
async function sent(client: RawClient, way: Way, attempt: Attempt): Promise<Attempt['told']> {
  client.write(...way.messages(attempt));
  let failed = false;
  for (let ready = 0; ready < way.segments; ) {
    const message = await client.next(120_000);
    if (message === null) return null;
    // That tells of the session, and may come ahead of what has become of the statement.
    if (message.type === 'E' && isFatalError(message.body)) return null;
    if (message.type === 'E') failed = true;
    if (message.type === 'Z') ready++;
  }
  return failed || !way.commits ? 'rolled back' : 'committed';
}
