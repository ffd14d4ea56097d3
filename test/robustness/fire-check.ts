import { StoredAuditLog } from '../../src/audit/log.ts';
import { AuditQuery } from '../../src/audit/query.ts';
import type { RecordedEvent } from '../../src/audit/recorded-event.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { fromManifest, type Manifest, readManifest } from '../../src/snapshot/manifest.ts';
import { readRows } from '../../src/snapshot/row-file-reader.ts';
import { allDays, listSnapshots, verifySnapshot } from '../../src/snapshot/snapshots.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { auditFaults } from './audit-verified.ts';
import type { Attempt } from './fire-writers.ts';

export interface Checked {
  /** What is wrong, in words. */
  readonly problems: string[];
  readonly committed: number;
  readonly droppedTables: number;
  readonly snapshots: number;
  readonly snapshotsOfAborted: number;
  readonly markedRolledBack: number;
  readonly auditEvents: number;
}

interface Kept {
  readonly manifest: Manifest;
  readonly rolledBack: boolean;
  readonly isCommitted: boolean;
}

const MARK = /attempt (\d+) /;
const attemptOf = (text: string | null): number => Number(MARK.exec(text ?? '')?.[1] ?? 0);

/** Compares what is committed with what the snapshots and the audit say, when nothing runs any more. */
export async function check(
  postgres: TestPostgres,
  store: BlobStore,
  controlStore: string,
  attempts: readonly Attempt[],
): Promise<Checked> {
  const problems: string[] = [];
  const untouched = new Set(
    (await postgres.sql(`select id from precious where note like 'row %'`)).map(([id]) => Number(id)),
  );
  const tables = new Set(
    (await postgres.sql(`select relname from pg_class where relnamespace = 'public'::regnamespace`)).map(
      ([name]) => name,
    ),
  );
  problems.push(...(await auditFaults(controlStore, store)));
  const snapshots = await snapshotsOf(postgres, store, problems);
  const events = await auditOf(controlStore);
  const recorded = new Set(events.map(({ sql }) => attemptOf(sql)));
  let [committed, droppedTables] = [0, 0];
  for (const attempt of attempts) {
    const { number, what, told } = attempt;
    const isCommitted = what.kind === 'rows' ? !untouched.has(what.first) : !tables.has(what.name);
    if (told !== null && (told === 'committed') !== isCommitted)
      problems.push(`attempt ${number} was told to be ${told}, and is not`);
    const own = snapshots.get(number) ?? [];
    const done = own.filter(({ isCommitted }) => isCommitted);
    if (!isCommitted && done.length > 0)
      problems.push(`attempt ${number} is not there, and its snapshot says so`);
    if (!isCommitted) continue;
    committed++;
    if (what.kind === 'table') droppedTables++;
    if (!recorded.has(number)) problems.push(`attempt ${number} is committed without a record in the audit`);
    if (done.length !== 1) problems.push(`attempt ${number} is committed with ${done.length} snapshots`);
    else problems.push(...(await incompleteness(store, attempt, done[0]!.manifest)));
  }
  problems.push(...claims(events, snapshots));
  const all = [...snapshots.values()].flat();
  return {
    problems,
    committed,
    droppedTables,
    snapshots: all.length,
    snapshotsOfAborted: all.filter(({ isCommitted }) => !isCommitted).length,
    markedRolledBack: all.filter(({ rolledBack }) => rolledBack).length,
    auditEvents: events.length,
  };
}

/** By the number of the attempt; each is verified, and the server asked what has become of its transaction. */
async function snapshotsOf(
  postgres: TestPostgres,
  store: BlobStore,
  problems: string[],
): Promise<Map<number, Kept[]>> {
  const found = new Map<number, Kept[]>();
  for await (const { folder, id, rolledBack } of listSnapshots(store, allDays(Date.now()))) {
    const manifest = await readManifest(store, folder);
    const { faults } = await verifySnapshot(store, manifest);
    if (faults.length > 0) problems.push(`${id} is damaged: ${JSON.stringify(faults)}`);
    const [row] = await postgres.sql(`select pg_xact_status('${manifest.xid}'::xid8)`);
    const isCommitted = row![0] === 'committed';
    if (!isCommitted && row![0] !== 'aborted') problems.push(`${id} is of a transaction that is ${row![0]}`);
    if (rolledBack && isCommitted) problems.push(`${id} is marked as rolled back, and was committed`);
    const number = attemptOf(manifest.statement.text);
    found.set(number, [...(found.get(number) ?? []), { manifest, rolledBack, isCommitted }]);
  }
  return found;
}

async function incompleteness(
  store: BlobStore,
  { number, what }: Attempt,
  manifest: Manifest,
): Promise<string[]> {
  if (what.kind === 'table') {
    const has = manifest.dropped?.objects.some(({ name }) => name === what.name) === true;
    return has ? [] : [`the snapshot of attempt ${number} does not name ${what.name}`];
  }
  const ids: number[] = [];
  // Two bytes count the fields, and four tell how long the first is.
  for await (const row of readRows(store, fromManifest(manifest.tables[0]!.before!)))
    ids.push(row.readInt32BE(6));
  const wanted = Array.from({ length: what.last - what.first + 1 }, (_, i) => what.first + i);
  const isWhole = ids.toSorted((a, b) => a - b).join() === wanted.join();
  return isWhole ? [] : [`the snapshot of attempt ${number} has the rows ${ids}, and not ${wanted}`];
}

/** What the audit says to be done and undoable has to be so. */
function claims(events: readonly RecordedEvent[], snapshots: ReadonlyMap<number, Kept[]>): string[] {
  const committed = new Map(
    [...snapshots.values()].flat().map(({ manifest, isCommitted }) => [manifest.id, isCommitted]),
  );
  return events
    .filter(
      ({ snapshot, end, transaction_status }) =>
        snapshot?.startsWith('snap_') && end === 'completed' && transaction_status === 'I',
    )
    .filter(({ snapshot }) => committed.get(snapshot!) !== true)
    .map(({ id, snapshot }) => `event ${id} says that ${snapshot} was committed, and it was not`);
}

async function auditOf(controlStore: string): Promise<RecordedEvent[]> {
  const store = await SqliteControlStore.open(controlStore);
  const log = await StoredAuditLog.open({ store, metrics: new Metrics(), log: createLogger('silent') });
  const query = new AuditQuery({ store, log });
  const events: RecordedEvent[] = [];
  try {
    for (let cursor: string | null = null; ; ) {
      const page = await query.search({ filter: {}, cursor, limit: 1_000 });
      events.push(...page.items);
      if (page.next === null) return events;
      cursor = page.next;
    }
  } finally {
    await query.close();
    await log.close();
    await store.close();
  }
}
