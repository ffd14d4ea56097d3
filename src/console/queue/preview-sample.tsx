import type { SampleRows } from '../api/preview.ts';
import { Scroll } from '../parts/scroll.tsx';
import { Value } from '../parts/value.tsx';
import { Visible } from '../parts/visible.tsx';

/** Some of the rows. What a statement would change stands beside what it is. */
export function Sample({ sample }: { readonly sample: SampleRows }) {
  const { table, columns, rows, after, after_reason: reason, more } = sample;
  if (rows.length === 0) return <p>No row matches now.</p>;
  return (
    <>
      <Scroll class="table-frame" label={`Rows of ${table}`}>
        <table>
          <thead>
            <tr>
              {columns.map(({ name, type, assigned }) => (
                <th key={name} scope="col" class={assigned ? 'assigned' : undefined}>
                  <Visible text={name} />
                  <span class="type">{type}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ before, after: then }, i) => (
              <tr key={`row ${i + 1}`}>
                {columns.map(({ name, masked, withheld }, c) => (
                  <Cell
                    key={name}
                    before={before[c] ?? null}
                    after={then === null ? undefined : (then[c] ?? null)}
                    masked={masked}
                    withheld={withheld}
                  />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <p class="hint">
        {more ? 'Some of the rows. ' : 'All of the rows. '}
        {after === 'removed' && 'They would be gone. '}
        {after === 'unknown' && 'What they would be is not known. '}
        {reason !== null && <Visible text={reason} />}
      </p>
    </>
  );
}

interface CellProps {
  readonly before: string | null;
  /** Undefined where that is not known or the row goes. */
  readonly after: string | null | undefined;
  readonly masked: boolean;
  readonly withheld: 'mask' | 'parameters' | null;
}

function Cell({ before, after, masked, withheld }: CellProps) {
  if (masked) {
    return (
      <td class="value">
        <span class="null">masked</span>
      </td>
    );
  }
  if (after !== undefined && withheld !== null) {
    return (
      <td class="value changed">
        <Value value={before} />{' '}
        <span class="null">{withheld === 'mask' ? 'new value masked' : 'new value from parameters'}</span>
      </td>
    );
  }
  if (after === undefined || after === before) {
    return (
      <td class="value">
        <Value value={before} />
      </td>
    );
  }
  return (
    <td class="value changed">
      <del>
        <Value value={before} />
      </del>{' '}
      <ins>
        <Value value={after} />
      </ins>
    </td>
  );
}
