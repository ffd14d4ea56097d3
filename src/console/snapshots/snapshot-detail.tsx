import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { Snapshot, SnapshotTable } from '../api/types.ts';
import { RiskBadge } from '../parts/badge.tsx';
import { Facts } from '../parts/facts.tsx';
import { Notice, Show } from '../parts/notice.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { bytes, number, plural } from '../parts/words.ts';
import { SqlText } from '../sql/sql-text.tsx';
import { useLoad } from '../state/load.ts';
import { hrefOf } from '../state/route.ts';
import { DroppedObjects } from './dropped-objects.tsx';
import { Remove } from './remove.tsx';
import { SnapshotRowsTable } from './snapshot-rows.tsx';
import { Undo } from './undo.tsx';
import { Verify } from './verify.tsx';

/** One snapshot: what it was taken for, its rows, and its undo. */
export function SnapshotDetail({ id }: { readonly id: string }) {
  const path = `/v1/snapshots/${encodeURIComponent(id)}`;
  const [loaded, reload] = useLoad((signal) => ask<Snapshot>(path, { signal }), [id]);
  return (
    <>
      <p>
        <a href={hrefOf('snapshots')}>← Snapshots</a>
      </p>
      <Show loaded={loaded} what="the snapshot" retry={reload}>
        {(snapshot) => (
          <>
            <h1>Snapshot: {snapshot.statement.operation}</h1>
            <Taken snapshot={snapshot} />
            <Marks snapshot={snapshot} />
            <SqlText sql={snapshot.statement.text} />
            <Contents snapshot={snapshot} />
            <Undo snapshot={snapshot} onDone={reload} />
            <h2 class="part">About it</h2>
            <SnapshotFacts snapshot={snapshot} />
            <div class="buttons snapshot-care">
              <Verify id={id} />
              <Remove snapshot={snapshot} />
            </div>
          </>
        )}
      </Show>
    </>
  );
}

/** What there was, of whom, and since when. */
function Taken({ snapshot: { session, created_at, tables, statement } }: { readonly snapshot: Snapshot }) {
  const rows = tables.reduce((sum, { before }) => sum + (before?.rows ?? 0), 0);
  const undoes = /^holdfast undo (snap_[0-9a-z]+)$/.exec(statement.text)?.[1];
  return (
    <p>
      {tables.length > 0 ? `${plural(rows, 'row')} as they were before ` : 'Taken before '}
      {undoes === undefined ? (
        'a statement of '
      ) : (
        <>
          the undo of <a href={hrefOf('snapshots', undoes)}>another snapshot</a> as{' '}
        </>
      )}
      <strong>
        <Visible text={session.role} />
      </strong>{' '}
      in{' '}
      <strong>
        <Visible text={session.database} />
      </strong>
      , <Time at={created_at} />
    </p>
  );
}

function Marks({ snapshot: { undone, rolled_back: rolledBack } }: { readonly snapshot: Snapshot }) {
  return (
    <>
      {undone !== null && (
        <Notice tone="good" title="It is undone">
          <p>
            By <Visible text={undone.by} />, <Time at={undone.undone_at} />.{' '}
            {undone.undo_snapshot !== null && (
              <a href={hrefOf('snapshots', undone.undo_snapshot)}>
                The snapshot of the undo, which undoes it
              </a>
            )}
          </p>
        </Notice>
      )}
      {rolledBack && <Notice title="Its statement was rolled back: there is nothing to undo" />}
    </>
  );
}

function SnapshotFacts({ snapshot }: { readonly snapshot: Snapshot }) {
  const {
    id,
    created_at,
    session,
    statement,
    decision,
    approval_id: approval,
    xid,
    server,
    folder,
  } = snapshot;
  return (
    <Facts
      facts={[
        { name: 'Taken', value: <Time at={created_at} /> },
        { name: 'Role', value: session.role },
        { name: 'Database', value: session.database },
        { name: 'Application', value: session.application },
        { name: 'Client', value: session.client },
        { name: 'Operation', value: statement.operation },
        {
          name: 'Decision',
          value: (
            <span>
              <RiskBadge risk={decision.risk} /> <Visible text={decision.rule} />
            </span>
          ),
        },
        {
          name: 'Approval',
          value:
            approval === null ? (
              ''
            ) : (
              <a href={hrefOf('queue', approval)}>
                <code>{approval}</code>
              </a>
            ),
        },
        { name: 'Transaction', value: xid },
        {
          name: 'Server',
          value: `PostgreSQL ${Math.floor(server.version_num / 10_000)}, ${server.encoding}`,
        },
        { name: 'Folder', value: folder },
        { name: 'Id', value: <code>{id}</code> },
      ]}
    />
  );
}

function Contents({ snapshot }: { readonly snapshot: Snapshot }) {
  const [shown, setShown] = useState<SnapshotTable | null>(null);
  const { tables, dropped, added = [] } = snapshot;
  return (
    <>
      {dropped !== undefined && <Dropped dropped={dropped} />}
      {tables.length > 0 && (
        <>
          <h2 class="part">Tables</h2>
          <Scroll class="table-frame" label="Tables">
            <table>
              <thead>
                <tr>
                  <th scope="col">Table</th>
                  <th scope="col">Reached by</th>
                  <th scope="col" class="number">
                    Rows before
                  </th>
                  <th scope="col" class="number">
                    Rows after
                  </th>
                  <th scope="col" class="number">
                    Size
                  </th>
                  <th scope="col">
                    <span class="hidden">Show</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {tables.map((table) => (
                  <TableRow key={nameOf(table)} table={table} onShow={() => setShown(table)} />
                ))}
              </tbody>
            </table>
          </Scroll>
        </>
      )}
      {added.length > 0 && <Added added={added} />}
      {shown !== null && <SnapshotRowsTable key={nameOf(shown)} id={snapshot.id} table={shown} />}
    </>
  );
}

function Added({ added }: { readonly added: NonNullable<Snapshot['added']> }) {
  return (
    <Notice title="Triggers or functions also added rows, which an undo leaves there">
      <ul>
        {added.map((table) => (
          <li key={nameOf(table)}>
            {plural(table.rows, 'row')} in{' '}
            <code>
              <Visible text={nameOf(table)} />
            </code>
          </li>
        ))}
      </ul>
    </Notice>
  );
}

const nameOf = ({ schema, name }: Pick<SnapshotTable, 'schema' | 'name'>): string => `${schema}.${name}`;

function TableRow({ table, onShow }: { readonly table: SnapshotTable; readonly onShow: () => void }) {
  const { cause, before, after } = table;
  return (
    <tr>
      <td>
        <code>
          <Visible text={nameOf(table)} />
        </code>
      </td>
      <td>
        {cause.kind === 'target' && 'the statement'}
        {cause.kind === 'cascade' && <Visible text={cause.constraint ?? 'a foreign key'} />}
        {cause.kind === 'code' && 'triggers or functions'}
      </td>
      <td class="number">{before === null ? 'none' : number(before.rows)}</td>
      <td class="number">{after === null ? 'none' : number(after.rows)}</td>
      <td class="number">{bytes((before?.bytes ?? 0) + (after?.bytes ?? 0))}</td>
      <td>
        <button type="button" onClick={onShow} aria-label={`Show rows of ${nameOf(table)}`}>
          Rows
        </button>
      </td>
    </tr>
  );
}

function Dropped({ dropped: { objects, notes } }: { readonly dropped: NonNullable<Snapshot['dropped']> }) {
  return (
    <>
      <h2 class="part">What was dropped</h2>
      <p class="hint">
        {plural(objects.length, 'object')}, moved into the schema <code>holdfast_trash</code>.
      </p>
      <DroppedObjects objects={objects} />
      {notes.length > 0 && (
        <Notice tone="warning" title="What will not come back as it was">
          <ul>
            {notes.map((note) => (
              <li key={note}>
                <Visible text={note} />
              </li>
            ))}
          </ul>
        </Notice>
      )}
    </>
  );
}
