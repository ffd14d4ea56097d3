import { useMemo } from 'preact/hooks';
import { Scroll } from '../parts/scroll.tsx';
import { Visible } from '../parts/visible.tsx';
import { highlight } from './highlight.ts';

/** Longer texts are shown without colour from there on. */
const COLOURED_MAX = 20_000;

interface SqlTextProps {
  readonly sql: string;
  readonly label?: string;
  /** It begins in the middle of something, whose colours are not known. */
  readonly isPart?: boolean;
}

/** A statement as it was sent, with colours. */
export function SqlText({ sql, label = 'Statement', isPart = false }: SqlTextProps) {
  const coloured = isPart ? 0 : COLOURED_MAX;
  const tokens = useMemo(() => highlight(sql.slice(0, coloured)), [sql, coloured]);
  return (
    <Scroll class="sql" label={label}>
      <code>
        {tokens.map(({ kind, text }, i) => (
          <span key={i} class={kind === 'plain' ? undefined : `sql-${kind}`}>
            <Visible text={text} />
          </span>
        ))}
        <Visible text={sql.slice(coloured)} />
      </code>
    </Scroll>
  );
}

/** The beginning of a statement, on one line. */
export function SqlLine({ sql, charsMax = 160 }: { readonly sql: string; readonly charsMax?: number }) {
  const line = sql
    .slice(0, charsMax * 2)
    .trim()
    // What stands behind `--` before a line's end and after it is not the same.
    .replace(/[ \t]*[\r\n][ \t\r\n\f\v]*/g, ' ⏎ ')
    .replace(/[ \t\f\v]+/g, ' ');
  const cut = line.length > charsMax || sql.length > charsMax * 2;
  return (
    <span class="sql-line">
      <Visible text={cut ? `${line.slice(0, charsMax)}…` : line} />
    </span>
  );
}
