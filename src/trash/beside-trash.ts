import type { HiddenConnection } from '../catalog/connection.ts';
import { quoteQualified } from '../catalog/quote.ts';
import type { DropStatement } from '../sql/named/drop-target.ts';
import { decodeErrorFields, encodeNoticeResponse } from '../wire/backend.ts';
import { HEADER_BYTES } from '../wire/message-type.ts';
import { BESIDE_TRASH, DESCRIBED } from './queries.ts';
import { json, type TrashSession } from './session.ts';
import {
  given,
  keyOf,
  type Refused,
  type Root,
  type Standing,
  TAKE_BACK,
  type Trial,
  tryDrop,
} from './trial.ts';

/**
 * Tries the client's own statement, and says what has come of it as if nothing were in the trash: what CASCADE takes along
 * there stays, tied to what is moved to it. Where the server refuses to drop a type because something uses it, and that is
 * all in the trash, the type is moved to what uses it, and nothing loses a column.
 */
export async function tryBesideTrash(
  connection: HiddenConnection,
  session: TrashSession,
  text: string,
  drop: DropStatement,
  roots: readonly Root[],
  reach: readonly Standing[],
): Promise<Trial | Refused> {
  const trial = await tryDrop(connection, session, text, reach);
  if (trial.kind === 'tried')
    return drop.cascade && roots.length > 0 ? await withoutTrash(session, trial) : trial;
  if (trial.error.sqlstate !== STILL_USED || !isOfTypes(drop)) return trial;
  if (drop.cascade || roots.length === 0) return trial;
  await session.query(TAKE_BACK);
  const whole = drop.names.map(({ schema, name }) => quoteQualified(schema, name)).join(', ');
  const cascade = `DROP ${drop.kind.toUpperCase()} IF EXISTS ${whole} CASCADE`;
  const beyond = await tryDrop(connection, session, cascade, reach);
  if (beyond.kind === 'refused') return trial;
  const touched = [...beyond.gone, ...beyond.lost];
  const { own, inTrash } = await partsOf(session, roots, touched);
  if (touched.some((each) => !own.has(keyOf(each)) && !inTrash.has(keyOf(each)))) return trial;
  const gone = touched.filter((each) => own.has(keyOf(each)));
  return { ...beyond, notices: trial.notices, gone, lost: [] };
}

const isOfTypes = ({ kind }: DropStatement): boolean => kind === 'type' || kind === 'domain';

/** SQLSTATE of what others depend on. */
const STILL_USED = '2BP01';

interface TrashParts {
  /** What belongs to the types that are dropped. */
  readonly own: ReadonlySet<string>;
  readonly inTrash: ReadonlySet<string>;
}

async function partsOf(
  session: TrashSession,
  roots: readonly Root[],
  touched: readonly Standing[],
): Promise<TrashParts> {
  type Parts = Record<'own' | 'inTrash', readonly (readonly [number, number])[] | null>;
  const types = `{${roots.map(([, oid]) => oid).join(',')}}`;
  const { own, inTrash } = await json<Parts>(session, BESIDE_TRASH, [...given(touched), types]);
  return { own: new Set((own ?? []).map(keyOf)), inTrash: new Set((inTrash ?? []).map(keyOf)) };
}

async function withoutTrash(session: TrashSession, trial: Trial): Promise<Trial> {
  const { inTrash } = await partsOf(session, [], [...trial.gone, ...trial.lost]);
  if (inTrash.size === 0) return trial;
  const isThere = (each: Standing) => inTrash.has(keyOf(each));
  const there = [...trial.gone, ...trial.lost].filter(isThere);
  const described = new Set((await json<readonly string[] | null>(session, DESCRIBED, given(there))) ?? []);
  return {
    ...trial,
    gone: trial.gone.filter((each) => !isThere(each)),
    lost: trial.lost.filter((each) => !isThere(each)),
    notices: trial.notices.flatMap((notice) => withoutLines(notice, described)),
  };
}

/**
 * A notice of what CASCADE takes along, without the lines that end with any of these: one line is the message itself, more
 * are in the detail, and the message has their number.
 */
export function withoutLines(notice: Buffer, described: ReadonlySet<string>): readonly Buffer[] {
  const fields = decodeErrorFields(notice);
  if (fields === null) return [notice];
  const isOf = (line: string) => [...described].some((each) => line.endsWith(` ${each}`));
  const { D: detail, ...others } = fields;
  if (detail === undefined) return isOf(fields['M'] ?? '') ? [] : [notice];
  const lines = detail.split('\n');
  const left = lines.filter((line) => !isOf(line));
  if (left.length === lines.length) return [notice];
  if (left.length === 0) return [];
  const told =
    left.length === 1
      ? { ...others, M: left[0]! }
      : { ...fields, D: left.join('\n'), M: withNumber(fields['M'] ?? '', lines.length - left.length) };
  return [encodeNoticeResponse(told, 'UTF8').subarray(HEADER_BYTES)];
}

const withNumber = (message: string, less: number): string =>
  message.replace(/\d+/, (number) => String(Number(number) - less));
