import type { Count } from '../api/preview.ts';
import { Visible } from '../parts/visible.tsx';
import { plural } from '../parts/words.ts';

/** What could not be found out is said, and never shown as none. */
export function Unknown({ reason }: { readonly reason: string }) {
  return (
    <span class="unknown">
      unknown
      {reason !== '' && (
        <>
          , because <Visible text={reason} />
        </>
      )}
    </span>
  );
}

interface OwnRowsProps {
  readonly count: Count;
  readonly bound?: 'set' | 'number' | null;
}

/** Those of the statement itself: an approval is bound to them, or their number, where they are known to the last. */
export function OwnRows({ count, bound = 'number' }: OwnRowsProps) {
  if (count.kind === 'exact' && bound !== 'number') return <Rows count={count} />;
  if (count.kind === 'exact')
    return (
      <span>
        <Rows count={count} />; approved, it may change as many others
      </span>
    );
  return (
    <span>
      <Rows count={count} />; <strong>approved, it may change any number of rows</strong>
    </span>
  );
}

function Rows({ count }: { readonly count: Count }) {
  switch (count.kind) {
    case 'exact':
      return <strong>{plural(count.rows, 'row')}</strong>;
    case 'at_least':
      return <strong>at least {plural(count.rows, 'row')}</strong>;
    case 'estimate':
      return (
        <span>
          <strong>about {plural(count.rows, 'row')}</strong>, an estimate
          {count.reason !== '' && (
            <>
              {' '}
              because <Visible text={count.reason} />
            </>
          )}
        </span>
      );
    case 'unknown':
      return <Unknown reason={count.reason} />;
    default:
      return <Unknown reason="" />;
  }
}

/** As a part of a sentence: `loses 5 rows`. */
export function SomeRows({ count }: { readonly count: Count }) {
  if (count.kind !== 'unknown') return <Rows count={count} />;
  return (
    <span class="unknown">
      an unknown number of rows
      {count.reason !== '' && (
        <>
          , because <Visible text={count.reason} />
        </>
      )}
    </span>
  );
}
