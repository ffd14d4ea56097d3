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

/** Those of the statement itself: an approval is bound to their number where that is known to the last. */
export function OwnRows({ count }: { readonly count: Count }) {
  if (count.kind === 'exact') return <Rows count={count} />;
  return (
    <span>
      <Rows count={count} />; <strong>approved, it may change any number of rows</strong>
    </span>
  );
}

export function Rows({ count }: { readonly count: Count }) {
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
