import { z } from 'zod';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { shownManifestSchema } from '../snapshot/manifest.ts';
import { writeTableName } from '../snapshot/table-name.ts';
import type { TableCounts } from '../undo/compare.ts';
import type { UndoOutcome, UndoPreview } from '../undo/outcome.ts';
import { countsJson } from '../undo/outcome-json.ts';
import { AdminClient, type AdminOptions, type Answer, type Fields } from './admin-client.ts';
import type { Io } from './io.ts';
import type { UndoPlace } from './undo-place.ts';
import type { UndoCommandOptions } from './undo-run.ts';

/** The answers of the admin API, as far as an undo needs them. */
const counts = z
  .object({
    table: z.string(),
    put_back: z.int(),
    set_back: z.int(),
    removed: z.int(),
    already: z.int(),
    conflicts: z.int(),
  })
  .transform(({ put_back, set_back, ...same }) => ({ ...same, putBack: put_back, setBack: set_back }));

const row = z.record(z.string(), z.string().nullable()).nullable();

const conflict = z.object({
  table: z.string(),
  undoing: z
    .enum(['put_back', 'set_back', 'remove'])
    .transform((word) => word.replace('_', ' ') as 'put back' | 'set back' | 'remove'),
  kind: z.enum(['taken', 'held', 'changed', 'gone']),
  key: z.array(z.string()),
  before: row,
  after: row,
  current: row,
});

const dropped = {
  objects: z.array(z.object({ kind: z.string(), schema: z.string(), name: z.string() })),
  lacking: z.array(z.object({ what: z.string(), reason: z.string() })),
  notes: z.array(z.string()),
};

const preview = z.object({ tables: z.array(counts), conflicts: z.array(conflict), ...dropped });

const done = z.object({
  dry_run: z.boolean(),
  tables: z.array(counts),
  sequences: z.array(z.string()),
  undo_snapshot: z.string().nullable(),
  ...dropped,
});

const problem = z.object({
  type: z.string(),
  title: z.string(),
  detail: z.string().default(''),
  sqlstate: z.string().nullish(),
  tables: z.array(counts).default([]),
  conflicts: z.array(conflict).default([]),
  problems: z.array(z.record(z.string(), z.unknown())).default([]),
});

/** As long as a gateway may take, which rolls back what it cannot finish. */
const UNDO_TIMEOUT_MS = 60 * 60_000;

/** Asks a running gateway to undo, with its own connection: the audit has it then. */
export async function undoByGateway<T>(
  asked: string,
  options: UndoCommandOptions & AdminOptions,
  io: Io,
  work: (place: UndoPlace) => Promise<T>,
): Promise<T> {
  const client = new AdminClient(options, io);
  const none =
    'Is `holdfast serve` running? --url or HOLDFAST_ADMIN_URL says where; --offline undoes without one.';
  const id = await unlessLost(wholeId(client, asked), none);
  const path = `/v1/snapshots/${id}`;
  const { folder: _, rolled_back, undone: _undone, ...rest } = await unlessLost(client.get(path), none);
  const manifest = read(shownManifestSchema, rest);
  const { onConflict: on_conflict, triggers } = options;
  const force = options.force === true;
  const dry_run = options.dryRun === true;
  return await work({
    manifest,
    rolledBack: rolled_back === true,
    audited: true,
    async preview(conflicts) {
      const limit = Math.min(Math.max(1, conflicts), LIMITS.undoConflictsMax);
      const answer = await client.ask(
        `${path}/undo/preview`,
        { on_conflict, triggers, force, limit },
        UNDO_TIMEOUT_MS,
      );
      if (!answer.ok) return previewOf(endedOf(client, answer));
      const { objects, lacking, notes, ...found } = read(preview, answer.body);
      const back = manifest.dropped === undefined ? {} : { dropped: { objects, lacking, notes } };
      return {
        kind: 'preview',
        tables: found.tables,
        conflicts: found.conflicts.slice(0, conflicts),
        ...back,
      };
    },
    async undo(expected: readonly TableCounts[]) {
      const { snapshot } = options;
      const body = { on_conflict, triggers, force, dry_run, snapshot, expected: expected.map(countsJson) };
      const { outcome, own } = await undoBy(client, path, body);
      const stays = manifest.added === undefined ? {} : { added: manifest.added };
      return { outcome: outcome.kind === 'done' ? { ...outcome, ...stays } : outcome, own };
    },
    async into(into, table) {
      const chosen = table === null ? {} : { table: writeTableName(table) };
      return (await undoBy(client, path, { into: writeTableName(into), ...chosen, dry_run })).outcome;
    },
  });
}

/** With what to do where the gateway gives no answer. */
async function unlessLost<T>(asking: Promise<T>, hint: string): Promise<T> {
  try {
    return await asking;
  } catch (error) {
    if (!(error instanceof HoldfastError && error.code === 'UPSTREAM_UNREACHABLE')) throw error;
    const detail = error.detail === undefined ? {} : { detail: error.detail };
    throw new HoldfastError(error.code, error.message, { ...detail, hint, cause: error });
  }
}

async function undoBy(client: AdminClient, path: string, body: Fields) {
  const lost = 'It may be undone all the same, or be under way: GET /v1/snapshots/ID says so by `undone`.';
  const answer = await unlessLost(client.ask(`${path}/undo`, body, UNDO_TIMEOUT_MS), lost);
  if (!answer.ok) return { outcome: endedOf(client, answer), own: null };
  const { dry_run: dryRun, tables, sequences, undo_snapshot: own, ...back } = read(done, answer.body);
  const outcome = { kind: 'done', dryRun, tables, sequences } as const;
  return { outcome: back.objects.length > 0 ? { ...outcome, dropped: back } : outcome, own };
}

/** Those of the API are whole ids. */
async function wholeId(client: AdminClient, asked: string): Promise<string> {
  if (/^snap_[0-9a-z]{20}$/.test(asked)) return asked;
  const beginning = asked === 'latest' ? '' : asked.includes('_') ? asked : `snap_${asked}`;
  const found: string[] = [];
  let cursor: string | undefined;
  do {
    const { items, next } = await client.getPage('/v1/snapshots', { limit: '1000', cursor });
    const ids = items
      .filter((item) => asked !== 'latest' || item['rolled_back'] !== true)
      .map((item) => String(item['id']));
    found.push(...ids.filter((id) => id.startsWith(beginning)));
    if (asked === 'latest' && found.length > 0) return found[0]!;
    // The newest come first, and ids sort by time.
    if (found.length > 1 || ids.some((id) => id < beginning)) break;
    cursor = next ?? undefined;
  } while (cursor !== undefined);
  const [only, second] = found;
  if (only === undefined) throw new HoldfastError('NOT_FOUND', `there is no snapshot ${asked}`);
  if (second !== undefined) throw new HoldfastError('CONFLICT', `several snapshots begin with ${asked}`);
  return only;
}

/** A problem of an undo as its outcome; any other is thrown. */
function endedOf(
  client: AdminClient,
  answer: Answer & { ok: false },
): Exclude<UndoOutcome, { kind: 'done' }> {
  const parsed = problem.safeParse(answer.body);
  if (!parsed.success) throw client.refused(answer);
  const { type, detail, sqlstate, tables, conflicts, problems } = parsed.data;
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  switch (type.replace('urn:holdfast:problem:', '')) {
    case 'undo-conflicts':
      return { kind: 'conflicts', tables, conflicts };
    case 'undo-refused':
      return {
        kind: 'refused',
        problems: problems.map(({ table, reason, forceable }) => ({
          table: text(table),
          reason: text(reason),
          ...(forceable === true ? { forceable } : {}),
        })),
      };
    case 'undo-failed': {
      const [first] = problems;
      // Without a step the database did not even let the gateway in.
      if (first === undefined) throw client.refused(answer);
      const step = STEPS.find((each) => each === first['step']) ?? 'find';
      const table = typeof first['table'] === 'string' ? first['table'] : null;
      const reason = detail.replace(/; nothing was done$/, '');
      return { kind: 'failed', step, table, reason, sqlstate: sqlstate ?? null };
    }
    default:
      throw client.refused(answer);
  }
}

const STEPS = ['find', 'lock', 'load', 'compare', 'keep', 'apply', 'check', 'commit'] as const;

function previewOf(ended: Exclude<UndoOutcome, { kind: 'done' }>): UndoPreview {
  return ended.kind === 'conflicts' ? { ...ended, kind: 'preview' } : ended;
}

function read<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new HoldfastError('INTERNAL', 'the gateway gave an answer that this version does not understand');
}
