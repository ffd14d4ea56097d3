import { LIMITS } from '../base/limits.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { quoteQualified } from '../catalog/quote.ts';
import type { DropColumnsAndMore } from '../sql/named/drop-target.ts';
import { alterKept } from './alter.ts';
import { rehearse } from './alter-rehearsal.ts';
import { changesBetween } from './definition-changes.ts';
import { named } from './definitions.ts';
import { dropColumns } from './drop-columns.ts';
import {
  CHANGED,
  type Changed,
  foundOf,
  type MoveOutcome,
  NOTHING_DROPPED,
  orAsBefore,
  precheckOf,
  problemToTry,
  sameRoots,
  untilUnchanged,
} from './move.ts';
import type { TrashSession } from './session.ts';
import { definitionsOf } from './table-definition.ts';
import { endsStatements, runDrop } from './trial.ts';

export interface MixedRequest {
  /** The client's own statement. */
  readonly text: string;
  readonly parts: DropColumnsAndMore;
  readonly id: string;
  /** Up to how large a table is copied, where not as ever. */
  readonly bytesMax?: number | undefined;
}

const SAVEPOINT = 'holdfast_mixed';

/**
 * Does an ALTER TABLE that drops columns and other things besides as two, each of which is kept in its own way: as the
 * server does, which drops columns before all else. The client's own statement is tried first, for what the client is
 * told; and what the two leave has to be what it has left. The way back is that of the second, and then of the first.
 */
export async function alterMixed(connection: HiddenConnection, request: MixedRequest): Promise<MoveOutcome> {
  return await orAsBefore(connection, (session) =>
    untilUnchanged(session, () => attempt(connection, session, request)),
  );
}

async function attempt(
  connection: HiddenConnection,
  session: TrashSession,
  { text, parts, id, bytesMax }: MixedRequest,
): Promise<MoveOutcome | Changed> {
  const { drop, dropText, alter, alterText } = parts;
  const name = quoteQualified(drop.table.schema, drop.table.name);
  const check = () => precheckOf(session, [name], 'relation');
  const precheck = await check();
  const problem = problemToTry(precheck, 'ALTER') ?? problemOf(parts);
  if (problem !== null) return none(problem);
  await session.query(`SAVEPOINT ${SAVEPOINT}`);
  const run = await runDrop(connection, session, text, []);
  if (run.kind === 'refused') return run;
  if (!sameRoots(await check(), precheck)) return CHANGED;
  const { tag, notices } = run;
  const [root] = foundOf(precheck);
  if (root === undefined) return { kind: 'harmless', why: NOTHING_DROPPED, tag, notices };
  const whole = await definitionsOf(session, [root[1]]);
  await session.query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
  const first = await dropColumns(connection, { text: dropText, drop, id, bytesMax });
  if (first.kind === 'none') return first;
  const between = await definitionsOf(session, [root[1]]);
  const second = await alterKept(connection, {
    text: alterText,
    alter,
    id,
    keepsAll: first.kind === 'moved',
  });
  if (second.kind === 'none') return second;
  for (const half of [first, second]) if (half.kind === 'refused' && endsStatements(half.error)) return half;
  // It was not refused as a whole.
  if (first.kind === 'refused' || second.kind === 'refused') return none(OTHERWISE);
  const after = await definitionsOf(session, [root[1]]);
  if (!sameRoots(await check(), precheck)) return CHANGED;
  if (whole.length !== after.length || changesBetween(whole, after).length > 0) return none(OTHERWISE);
  if (first.kind === 'harmless') return { ...second, tag, notices };
  const back = second.kind === 'moved' ? second.moved : null;
  const moved = {
    ...first.moved,
    restores: [...(back?.restores ?? []), ...first.moved.restores],
    objects: [...(back?.objects ?? []), ...first.moved.objects],
    notes: [...(back?.notes ?? []), ...first.moved.notes],
    ...(back?.altered === undefined ? {} : { altered: back.altered }),
  };
  const { oid, schema, name: table } = after[0]!;
  const adds = changesBetween(between, after);
  if (after[0]!.bytes > LIMITS.trashRehearsalBytes && adds.some(({ section }) => section !== 'columns'))
    return none(
      `the undo of what it does beside dropping columns is tried first, up to ${LIMITS.trashRehearsalBytes} bytes, and ${named(after[0]!)} takes ${after[0]!.bytes}`,
    );
  const altered = moved.altered ?? { tables: [{ oid, schema, name: table }], types: [], changes: [] };
  const wrong = await rehearse(connection, session, moved.restores, altered, after);
  return wrong === null ? { kind: 'moved', tag, notices, moved } : none(wrong);
}

const OTHERWISE = 'what it does beside dropping columns cannot be done after that';

function problemOf({ drop, alter: { retyped, added } }: DropColumnsAndMore): string | null {
  if (retyped.length > 0) return 'it drops columns and changes the type of others';
  const again = added.find((name) => drop.columns.includes(name));
  return again === undefined ? null : `it drops the column ${again} and adds another of that name`;
}

const none = (reason: string): MoveOutcome => ({ kind: 'none', reason });
