import { LIMITS } from '../base/limits.ts';
import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import { REACH, REMAINS } from './queries.ts';
import { hiddenQuery, json, type TrashSession } from './session.ts';

/** An object's class and OID, and of a relation how many columns it has. */
export type Standing = readonly [classid: number, objid: number, columns: number];

export type Root = readonly [classid: number, objid: number, temporary: boolean | null];

/** The server's answer to the client's own statement. */
export interface Trial {
  readonly kind: 'tried';
  readonly tag: string;
  readonly notices: readonly Buffer[];
  readonly gone: readonly Standing[];
  /** Relations that stay and have lost columns, with how many. */
  readonly lost: readonly Standing[];
}

/** The server refuses it. */
export interface Refused {
  readonly kind: 'refused';
  readonly error: HiddenQueryError;
  readonly notices: readonly Buffer[];
}

export const SAVEPOINT = 'holdfast_trash';
export const TAKE_BACK = `ROLLBACK TO SAVEPOINT ${SAVEPOINT}`;

/** What ends statements, such as a client that cancels, ends this one as it would have ended the DROP. */
export function endsStatements({ sqlstate }: HiddenQueryError): boolean {
  return /^(57|40|53|55P03)/.test(sqlstate);
}

export const keyOf = ([classid, objid]: readonly [number, number | null, ...unknown[]]): string =>
  `${classid} ${objid}`;

export async function reachOf(session: TrashSession, roots: readonly Root[]): Promise<readonly Standing[]> {
  return (
    (await json<readonly Standing[] | null>(session, REACH, [
      ...given(roots),
      String(LIMITS.trashObjectsMax + 1),
    ])) ?? []
  );
}

/** Runs the client's own statement, and takes it back. */
export async function tryDrop(
  connection: HiddenConnection,
  session: TrashSession,
  text: string,
  reach: readonly Standing[],
): Promise<Trial | Refused> {
  const trial = await runDrop(connection, session, text, reach);
  if (trial.kind === 'tried') await session.query(TAKE_BACK);
  return trial;
}

/** Runs it, and says what has become of what it could reach. */
export async function runDrop(
  connection: HiddenConnection,
  session: TrashSession,
  text: string,
  reach: readonly Standing[],
): Promise<Trial | Refused> {
  const notices: Buffer[] = [];
  let tag: string;
  try {
    const takeNotice = (notice: Buffer) => void notices.push(Buffer.from(notice));
    tag = (await connection.run(hiddenQuery(text), () => {}, takeNotice)).tag;
  } catch (error) {
    if (!(error instanceof HiddenQueryError)) throw error;
    return { kind: 'refused', error, notices };
  }
  const left = (await json<readonly Standing[] | null>(session, REMAINS, given(reach))) ?? [];
  const columns = new Map(left.map((standing) => [keyOf(standing), standing[2]]));
  const gone = reach.filter((standing) => !columns.has(keyOf(standing)));
  const lost = reach.flatMap((standing) => {
    const now = columns.get(keyOf(standing)) ?? standing[2];
    return now === standing[2] ? [] : [[standing[0], standing[1], standing[2] - now] as const];
  });
  return { kind: 'tried', tag, notices, gone, lost };
}

/** Which of them are no longer there. */
export async function goneOf(session: TrashSession, reach: readonly Standing[]): Promise<Standing[]> {
  const left = (await json<readonly Standing[] | null>(session, REMAINS, given(reach))) ?? [];
  const keys = new Set(left.map(keyOf));
  return reach.filter((standing) => !keys.has(keyOf(standing)));
}

export function given(objects: readonly (readonly [number, number | null, ...unknown[]])[]): string[] {
  return [
    `{${objects.map(([classid]) => classid).join(',')}}`,
    `{${objects.map(([, objid]) => objid).join(',')}}`,
  ];
}

export function textArray(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;
}
