import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { SnapshotRows, SnapshotTable } from '../api/types.ts';
import { Show } from '../parts/notice.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { Value } from '../parts/value.tsx';
import { Visible } from '../parts/visible.tsx';
import { number, plural } from '../parts/words.ts';
import { useLoad } from '../state/load.ts';

const PAGE = 25;

interface RowsProps {
  readonly id: string;
  readonly table: SnapshotTable;
}

/** The rows of one table, a page at a time, with each value as the database writes it. */
export function SnapshotRowsTable({ id, table }: RowsProps) {
  const name = `${table.schema}.${table.name}`;
  const [which, setWhich] = useState<'before' | 'after'>(table.before === null ? 'after' : 'before');
  const [from, setFrom] = useState(0);
  const path = `/v1/snapshots/${encodeURIComponent(id)}/rows`;
  // As text: numbers in JSON may be longer than those of this language.
  const [loaded, reload] = useLoad(
    (signal) =>
      ask<SnapshotRows>(path, {
        signal,
        query: { table: name, which, values: 'text', limit: PAGE, cursor: from === 0 ? undefined : from },
      }),
    [id, name, which, from],
  );
  const show = (side: 'before' | 'after') => {
    setFrom(0);
    setWhich(side);
  };
  return (
    <>
      <h2 class="part">
        Rows of <code>{name}</code>
      </h2>
      <fieldset class="choice">
        <legend class="hidden">Which rows</legend>
        <button
          type="button"
          aria-pressed={which === 'before'}
          disabled={table.before === null}
          onClick={() => show('before')}
        >
          Before the statement
        </button>
        <button
          type="button"
          aria-pressed={which === 'after'}
          disabled={table.after === null}
          onClick={() => show('after')}
        >
          After it
        </button>
      </fieldset>
      <Show loaded={loaded} what="rows" retry={reload}>
        {(page) => (
          <>
            <Rows table={table} page={page} />
            <div class="buttons">
              {from > 0 && (
                <button type="button" onClick={() => setFrom(Math.max(0, from - PAGE))}>
                  Earlier rows
                </button>
              )}
              {page.next !== null && (
                <button type="button" onClick={() => setFrom(Number(page.next))}>
                  Further rows
                </button>
              )}
              <span class="hint">
                {page.items.length === 0
                  ? plural(page.total, 'row')
                  : `${number(from + 1)} to ${number(from + page.items.length)} of ${plural(page.total, 'row')}`}
              </span>
            </div>
          </>
        )}
      </Show>
    </>
  );
}

function Rows({ table, page }: { readonly table: SnapshotTable; readonly page: SnapshotRows }) {
  if (page.items.length === 0) return <p class="empty">There are none.</p>;
  const names = Object.keys(page.items[0] ?? {});
  const columns = names.map((name) => ({ name, of: table.columns.find((column) => column.name === name) }));
  return (
    <Scroll class="table-frame rows-frame" label={`Rows of ${table.schema}.${table.name}`}>
      <table>
        <thead>
          <tr>
            {columns.map(({ name, of }) => (
              <th key={name} scope="col">
                <Visible text={name} />
                {table.key?.includes(name) === true && ' (key)'}
                <span class="type">{of?.type.name ?? 'unknown type'}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {page.items.map((row, i) => (
            <tr key={`row ${i + 1}`}>
              {names.map((name) => (
                <td key={name} class="value">
                  <Value value={row[name] ?? null} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
