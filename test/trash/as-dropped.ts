import { newId } from '../../src/base/ids.ts';
import type { Parser } from '../../src/sql/parsing/parser.ts';
import { type MoveOutcome, moveDrop } from '../../src/trash/move.ts';
import { type RestoreOutcome, restoreDropped } from '../../src/trash/restore.ts';
import { onHidden } from '../../src/trash/session.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { fieldsOf, type RawClient } from '../support/raw-client.ts';
import { difference, dumpDatabase } from './catalog-dump.ts';
import { readingOf } from './reading.ts';

/** Drops as moves, compared with what a real DROP leaves, and after a restore with what was there before. */

export interface Setting {
  readonly parser: Parser;
  /** Whoever drops and restores. */
  readonly client: RawClient;
  /** Who restores, where it is somebody else. */
  readonly restorer?: RawClient;
  /** Who may see everything. */
  readonly judge: RawClient;
}

export interface Judged {
  readonly outcome: MoveOutcome;
  readonly restored: RestoreOutcome | null;
  /** Where it differs from a real DROP, and after the restore from before; empty where it does not. */
  readonly differences: readonly string[];
}

export async function move(setting: Setting, sql: string): Promise<MoveOutcome> {
  const reading = readingOf(setting.parser, sql);
  if (reading.kind !== 'drop') return { kind: 'none', reason: reading.kind };
  const request = { text: sql, drop: reading.drop, id: newId('snap') };
  return await moveDrop(new HiddenClient(setting.client), request);
}

/** The database is as it was when this has ended, whatever came of it; what is in the trash aside. */
export async function judge(setting: Setting, sql: string): Promise<Judged> {
  const { client } = setting;
  const before = await dumpDatabase(setting.judge);
  await client.rows('begin');
  const outcome = await move(setting, sql);
  if (outcome.kind !== 'moved') {
    await client.query(outcome.kind === 'refused' ? 'rollback' : 'commit');
    return { outcome, restored: null, differences: difference(before, await dumpDatabase(setting.judge)) };
  }
  await client.rows('commit');
  const moved = await dumpDatabase(setting.judge);
  const restored = await restoreDropped(
    onHidden(new HiddenClient(setting.restorer ?? client)),
    outcome.moved,
  );
  const back = await dumpDatabase(setting.judge);
  if (restored.kind === 'conflict') return { outcome, restored, differences: [JSON.stringify(restored)] };
  const differences = [...difference(before, back).map((line) => `restored ${line}`)];
  const real = await really(client, sql);
  differences.push(...difference(await dumpDatabase(setting.judge), moved).map((line) => `moved ${line}`));
  const said = { tag: outcome.tag, notices: outcome.notices.map(messageOf) };
  if (JSON.stringify(said) !== JSON.stringify(real))
    differences.push(`said ${JSON.stringify(said)}, really ${JSON.stringify(real)}`);
  return { outcome, restored, differences };
}

export async function really(client: RawClient, sql: string): Promise<{ tag: string; notices: string[] }> {
  const messages = await client.query(sql);
  const error = messages.find(({ type }) => type === 'E');
  if (error !== undefined) throw new Error(`${sql}: ${JSON.stringify(fieldsOf(error))}`);
  const notices = messages.filter(({ type }) => type === 'N').map(({ body }) => messageOf(body));
  const tag = messages.find(({ type }) => type === 'C')!.body;
  return { tag: tag.toString('utf8', 0, tag.length - 1), notices };
}

export const messageOf = (body: Buffer): string => {
  const { M, D } = fieldsOf({ type: 'N', body });
  return [M, ...(D === undefined ? [] : [...D.split('\n')].sort())].join('; ');
};
