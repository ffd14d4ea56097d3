import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { ShownRow, UndoConflict, UndoCounts, UndoPreview } from '../api/types.ts';
import { Failure, Notice } from '../parts/notice.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { Value } from '../parts/value.tsx';
import { Visible } from '../parts/visible.tsx';
import { number } from '../parts/words.ts';
import { DroppedObjects } from './dropped-objects.tsx';

const COLUMNS = [
  ['put_back', 'Put back', 'Rows that are gone, and come again'],
  ['set_back', 'Set back', 'Rows that were changed, and become what they were'],
  ['removed', 'Removed', 'Rows that the statement added'],
  ['already', 'Already so', 'Rows that are as they were before the statement'],
  ['conflicts', 'Changed since', 'Rows that are not as the statement left them'],
] as const;

type CountName = (typeof COLUMNS)[number][0];

export function summed(tables: readonly UndoCounts[]): Record<CountName, number> {
  const sum = (name: CountName) => tables.reduce((all, table) => all + table[name], 0);
  return {
    put_back: sum('put_back'),
    set_back: sum('set_back'),
    removed: sum('removed'),
    already: sum('already'),
    conflicts: sum('conflicts'),
  };
}

export function Counts({ tables }: { readonly tables: readonly UndoCounts[] }) {
  if (tables.length === 0) return null;
  return (
    <Scroll class="table-frame" label="Rows of each table">
      <table>
        <thead>
          <tr>
            <th scope="col">Table</th>
            {COLUMNS.map(([name, label, title]) => (
              <th key={name} scope="col" class="number" title={title}>
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tables.map((table) => (
            <tr key={table.table}>
              <td>
                <code>
                  <Visible text={table.table} />
                </code>
              </td>
              {COLUMNS.map(([name]) => (
                <td key={name} class={name === 'conflicts' && table[name] > 0 ? 'number changed' : 'number'}>
                  {number(table[name])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

type Found = Pick<UndoPreview, 'objects' | 'lacking' | 'notes'>;

/** Of the undo of a DROP. */
export function BroughtBack({ found: { objects, lacking, notes } }: { readonly found: Found }) {
  return (
    <>
      {objects.length > 0 && <DroppedObjects objects={objects} />}
      {lacking.length + notes.length > 0 && (
        <Notice tone="warning" title="What is not back, or not as it was">
          <ul>
            {lacking.map(({ what, reason }) => (
              <li key={what}>
                <Visible text={`${what}: ${reason}`} />
              </li>
            ))}
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

const KINDS: Readonly<Record<string, string>> = {
  taken: 'another row has its key by now',
  held: 'another row has a unique value of it by now',
  changed: 'it has changed since',
  gone: 'it is gone',
};

function Unshown() {
  return (
    <p class="hint">
      Your token has no scope <code>snapshot:rows</code>, so that the rows which have changed since are not
      shown.
    </p>
  );
}

interface ConflictsProps {
  readonly preview: UndoPreview;
  readonly path: string;
  readonly options: object;
}

/** The rows that are not as the statement left them: before it, after it, and now. */
export function Conflicts({ preview, path, options }: ConflictsProps) {
  const [further, setFurther] = useState<readonly UndoConflict[]>([]);
  const [next, setNext] = useState(preview.next);
  const [error, setError] = useState<unknown>(null);
  const all = [...preview.conflicts, ...further];
  const more = async () => {
    try {
      const body = { ...options, cursor: next };
      const page = await ask<UndoPreview>(`${path}/preview`, { method: 'POST', body });
      setFurther([...further, ...page.conflicts]);
      setNext(page.next);
    } catch (thrown) {
      setError(thrown);
    }
  };
  if (all.length === 0) return summed(preview.tables).conflicts === 0 ? null : <Unshown />;
  return (
    <>
      <h3>Rows that have changed since the statement</h3>
      {all.map((conflict, i) => (
        <Conflict key={`conflict ${i + 1}`} conflict={conflict} />
      ))}
      {error !== null && <Failure error={error} />}
      {next !== null && (
        <div class="buttons">
          <button type="button" onClick={() => void more()}>
            More of them
          </button>
        </div>
      )}
    </>
  );
}

function Conflict({
  conflict: { table, kind, before, after, current },
}: {
  readonly conflict: UndoConflict;
}) {
  const names = [...new Set([before, after, current].flatMap((row) => Object.keys(row ?? {})))];
  const title = `${table}: ${KINDS[kind] ?? kind}`;
  return (
    <Scroll class="table-frame conflict" label={title}>
      <table>
        <caption>{title}</caption>
        <thead>
          <tr>
            <th scope="col">
              <span class="hidden">When</span>
            </th>
            {names.map((name) => (
              <th key={name} scope="col">
                <Visible text={name} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <ConflictRow label="before" row={before} names={names} against={null} />
          <ConflictRow label="after" row={after} names={names} against={null} />
          <ConflictRow label="now" row={current} names={names} against={after} />
        </tbody>
      </table>
    </Scroll>
  );
}

interface ConflictRowProps {
  readonly label: string;
  readonly row: ShownRow | null;
  readonly names: readonly string[];
  readonly against: ShownRow | null;
}

function ConflictRow({ label, row, names, against }: ConflictRowProps) {
  return (
    <tr>
      <th scope="row">{label}</th>
      {row === null ? (
        <td colSpan={names.length}>
          <span class="null">no row</span>
        </td>
      ) : (
        names.map((name) => {
          const differs = against !== null && against[name] !== row[name];
          return (
            <td key={name} class={differs ? 'value changed' : 'value'}>
              <Value value={row[name] ?? null} />
            </td>
          );
        })
      )}
    </tr>
  );
}
