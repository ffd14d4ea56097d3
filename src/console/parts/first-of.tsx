import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { number } from './words.ts';

interface FirstOfProps<T> {
  readonly items: readonly T[];
  readonly max: number;
  readonly children: (items: readonly T[]) => ComponentChildren;
}

/** The first of a long list, and all of it for whoever wants that. */
export function FirstOf<T>({ items, max, children }: FirstOfProps<T>) {
  const [showsAll, setShowsAll] = useState(false);
  const hidden = items.length - max;
  if (showsAll || hidden <= 0) return <>{children(items)}</>;
  return (
    <>
      {children(items.slice(0, max))}
      <button type="button" class="more" onClick={() => setShowsAll(true)}>
        and {number(hidden)} more…
      </button>
    </>
  );
}
