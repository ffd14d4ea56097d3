import { visibleParts } from '../sql/visible.ts';

/** Text that somebody else has written, in which nothing is hidden. */
export function Visible({ text }: { readonly text: string }) {
  const parts = visibleParts(text);
  if (parts.length === 1 && parts[0]?.isMark === false) return <>{text}</>;
  return (
    <>
      {parts.map((part, i) =>
        part.isMark ? (
          <span key={i} class="unseen" title="A character that would not be seen">
            {part.text}
          </span>
        ) : (
          part.text
        ),
      )}
    </>
  );
}
