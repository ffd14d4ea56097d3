/** The cursors of the pages that were turned to; none on the first. */
export type Cursors = readonly string[];

interface PagingProps {
  readonly cursors: Cursors;
  /** Of the page behind, or null on the last. */
  readonly next: string | null;
  readonly onTurn: (cursors: Cursors) => void;
}

export function Paging({ cursors, next, onTurn }: PagingProps) {
  return (
    <>
      {cursors.length > 0 && (
        <button type="button" onClick={() => onTurn(cursors.slice(0, -1))}>
          Newer
        </button>
      )}
      {next !== null && (
        <button type="button" onClick={() => onTurn([...cursors, next])}>
          Older
        </button>
      )}
    </>
  );
}
