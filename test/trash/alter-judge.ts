import { createHash } from 'node:crypto';
import { newId } from '../../src/base/ids.ts';
import type { Parser } from '../../src/sql/parsing/parser.ts';
import { alterKept, dropPartKept } from '../../src/trash/alter.ts';
import { alterMixed } from '../../src/trash/alter-mixed.ts';
import type { MoveOutcome } from '../../src/trash/move.ts';
import { replaceKept } from '../../src/trash/replace-routine.ts';
import { type Dropped, restoreDropped } from '../../src/trash/restore.ts';
import { type KeptRestore, type RestoreKept, restoreKept } from '../../src/trash/restore-kept.ts';
import { onHidden } from '../../src/trash/session.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { Random } from '../support/random.ts';
import type { RawClient } from '../support/raw-client.ts';
import { messageOf, really } from './as-dropped.ts';
import { difference, dumpDatabase } from './catalog-dump.ts';
import { undoneSince } from './changes-since.ts';
import { randomAlter } from './random-alters.ts';
import type { Case } from './random-run.ts';
import { readingOf } from './reading.ts';

/** Random ALTERs of random tables, judged one by one: what they leave, what they are answered with, and what comes back. */

export const CLEAN = `drop schema if exists public, holdfast_trash cascade; create schema public; create type feeling as enum ('so', 'not so', 'well');
  create domain positive as int check (value > 0); create function noticed() returns trigger language plpgsql as 'begin return new; end'`;

export async function alterWith(client: RawClient, parser: Parser, sql: string): Promise<MoveOutcome> {
  const reading = readingOf(parser, sql);
  if (reading.kind === 'other drop') return { kind: 'none', reason: reading.reason };
  await client.rows('begin');
  const common = { text: sql, id: newId('snap') };
  const connection = new HiddenClient(client);
  const alter = async (): Promise<MoveOutcome> => {
    switch (reading.kind) {
      case 'alter':
        return await alterKept(connection, { ...common, alter: reading.alter });
      case 'drop columns and more':
        return await alterMixed(connection, { ...common, parts: reading });
      case 'drop part':
        return await dropPartKept(connection, { ...common, part: reading.part });
      case 'replace':
        return await replaceKept(connection, { ...common, name: reading.name });
      default:
        throw new Error(JSON.stringify(reading));
    }
  };
  const outcome = await alter();
  await client.rows(outcome.kind === 'refused' ? 'rollback' : 'commit');
  return outcome;
}

/** The bytes of all rows, which a text may say less of. */
async function rowsOf(client: RawClient): Promise<string[]> {
  const tables = await client.rows(
    `select c.oid::regclass::text from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by 1`,
  );
  const lines: string[] = [];
  for (const [name] of tables) {
    const messages = await client.query(
      `copy (select * from only ${name} t order by t::text) to stdout (format binary)`,
    );
    const data = Buffer.concat(messages.filter(({ type }) => type === 'd').map(({ body }) => body));
    lines.push(`bytes of ${name}: ${createHash('sha256').update(data).digest('hex')}`);
  }
  return lines;
}

async function dump(client: RawClient): Promise<string[]> {
  return [...(await dumpDatabase(client)), ...(await rowsOf(client))];
}

const tagged = (label: string, lines: readonly string[]) => lines.map((line) => `${label} ${line}`);

/** Does it, and keeps what that changes in its turn. */
export async function restoreAndKeep(client: RawClient, dropped: Dropped): Promise<KeptRestore> {
  const kept = await restoreIfKept(client, dropped);
  if ('restores' in kept) return kept;
  throw new Error(JSON.stringify([kept, dropped.restores.map(({ sql }) => sql)]));
}

async function restoreIfKept(client: RawClient, dropped: Dropped): Promise<KeptRestore | RestoreKept> {
  await client.rows('begin');
  const session = onHidden(new HiddenClient(client));
  const done = await restoreKept(session, dropped, {}, newId('snap'));
  if (done.kind === 'none' || done.outcome.kind !== 'restored' || done.kept === null) {
    await client.rows('rollback');
    return done;
  }
  await client.rows('commit');
  return done.kept;
}

const UNCOPIED = /^the table has (no key|parents or children)/;

/** The undo of the undo leaves what the statement has left, and so on. */
async function backAndForth(
  client: RawClient,
  moved: Dropped,
  before: readonly string[],
  altered: readonly string[],
): Promise<string[]> {
  const tried = await restoreIfKept(client, moved);
  // A mere change of length is taken back without a copy, which its undo would need to be snapshotted.
  if (isUncopied(tried)) {
    const unchanged = tagged('refused', difference(altered, await dump(client)));
    const done = await restoreDropped(onHidden(new HiddenClient(client)), moved);
    return done.kind === 'restored' ? unchanged : [...unchanged, `not restored: ${JSON.stringify(done)}`];
  }
  const once = 'restores' in tried ? tried : await restoreAndKeep(client, moved);
  const first = tagged('undone', difference(before, await dump(client)));
  const again = await restoreIfKept(client, once);
  // The key may be what the statement has dropped.
  if (isUncopied(again)) return [...first, ...tagged('refused', difference(before, await dump(client)))];
  const twice = 'restores' in again ? again : await restoreAndKeep(client, once);
  const second = tagged('undone twice', difference(altered, await dump(client)));
  await restoreAndKeep(client, twice);
  return [...first, ...second, ...tagged('undone three times', difference(before, await dump(client)))];
}

function isUncopied(tried: KeptRestore | RestoreKept): boolean {
  return 'kind' in tried && tried.kind === 'none' && UNCOPIED.test(tried.reason);
}

/** Once more from the beginning, with rows that have come and changed before the undo. */
async function changedSince(
  { parser, client }: { readonly parser: Parser; readonly client: RawClient },
  seed: number,
  setup: readonly string[],
  alter: string,
): Promise<string[]> {
  await client.rows(CLEAN);
  for (const sql of setup) await client.query(sql);
  const outcome = await alterWith(client, parser, alter);
  if (outcome.kind !== 'moved') return [`the second time it is ${outcome.kind}`];
  return await undoneSince(new Random(seed), client, outcome.moved);
}

export async function runAlter(
  { parser, client }: { readonly parser: Parser; readonly client: RawClient },
  seed: number,
): Promise<Case> {
  const { setup, alter } = randomAlter(new Random(seed));
  await client.rows(CLEAN);
  const made: string[] = [];
  for (const sql of setup) {
    const messages = await client.query(sql);
    if (!messages.some(({ type }) => type === 'E')) made.push(sql);
  }
  const base = { seed, setup: made, drop: alter };
  try {
    const before = await dump(client);
    const outcome = await alterWith(client, parser, alter);
    const altered = await dump(client);
    const problems: string[] = [];
    if (outcome.kind === 'none' || outcome.kind === 'refused')
      problems.push(...tagged('unchanged', difference(before, altered)));
    if (outcome.kind === 'moved') {
      const { notes } = outcome.moved;
      const chained = notes.length === 0;
      if (chained) problems.push(...(await backAndForth(client, outcome.moved, before, altered)));
      else {
        const restored = await restoreDropped(onHidden(new HiddenClient(client)), outcome.moved);
        if (restored.kind !== 'restored') problems.push(`not restored: ${JSON.stringify(restored)}`);
      }
      const known = (line: string) =>
        notes.some(
          (note) =>
            (note.includes('which it added, stays') &&
              /^[-+] (\(column|\(constraint|row of|bytes of|\(relation)/.test(line)) ||
            (note.includes('count as its own') && /^[-+] \((column|constraint),/.test(line)),
        );
      const after = await dump(client);
      problems.push(
        ...tagged(
          'restored',
          difference(before, after).filter((line) => !known(line)),
        ),
      );
      if (problems.length === 0 && notes.length === 0) {
        const real = await really(client, alter);
        const said = { tag: outcome.tag, notices: outcome.notices.map(messageOf) };
        if (JSON.stringify(said) !== JSON.stringify(real))
          problems.push(`said ${JSON.stringify(said)} for ${JSON.stringify(real)}`);
        problems.push(...tagged('altered', difference(await dump(client), altered)));
      }
      if (problems.length === 0 && outcome.moved.altered?.retyped !== undefined)
        problems.push(...(await changedSince({ parser, client }, seed, made, alter)));
    }
    return { ...base, kind: outcome.kind, reason: outcome.kind === 'none' ? outcome.reason : '', problems };
  } catch (error) {
    await client.query('rollback');
    return {
      ...base,
      kind: 'error',
      reason: '',
      problems: [error instanceof Error ? error.message : String(error)],
    };
  }
}
