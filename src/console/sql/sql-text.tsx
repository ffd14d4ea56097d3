import { useMemo } from 'preact/hooks';
import { Scroll } from '../parts/scroll.tsx';
import { Visible } from '../parts/visible.tsx';
import { highlight } from './highlight.ts';

/** Longer texts are shown without colour from there on. */
const COLOURED_MAX = 20_000;

/** A statement as it was sent, with colours. */
export function SqlText({ sql, label = 'Statement' }: { readonly sql: string; readonly label?: string }) {
  const tokens = useMemo(() => highlight(sql.slice(0, COLOURED_MAX)), [sql]);
  return (
    <Scroll class="sql" label={label}>
      <code>
        {tokens.map(({ kind, text }, i) => (
          <span key={i} class={kind === 'plain' ? undefined : `sql-${kind}`}>
            <Visible text={text} />
          </span>
        ))}
        <Visible text={sql.slice(COLOURED_MAX)} />
      </code>
    </Scroll>
  );
}

/** The beginning of a statement, on one line. */
export function SqlLine({ sql, charsMax = 160 }: { readonly sql: string; readonly charsMax?: number }) {
  const line = sql
    .slice(0, charsMax * 2)
    .replace(/[ \t\r\n\f\v]+/g, ' ')
    .trim();
  const cut = line.length > charsMax || sql.length > charsMax * 2;
  return (
    <span class="sql-line">
      <Visible text={cut ? `${line.slice(0, charsMax)}…` : line} />
    </span>
  );
}
