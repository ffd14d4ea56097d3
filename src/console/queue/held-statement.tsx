import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { Approval, ApprovalText } from '../api/types.ts';
import { Failure, Notice } from '../parts/notice.tsx';
import { bytes } from '../parts/words.ts';
import { SqlText } from '../sql/sql-text.tsx';

const encoder = new TextEncoder();
const lengthOf = (text: string): number => encoder.encode(text).length;

/** The statement, and how much of it that is: nobody is to approve what they do not know of. */
export function HeldStatement({ approval }: { readonly approval: Approval }) {
  const [more, setMore] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const shown = more ?? approval.statement;
  const end = approval.statement_end ?? '';
  const whole = approval.statement_bytes ?? null;
  const shownBytes = lengthOf(shown);
  const isCut = whole !== null && shownBytes < whole;
  const showMore = async () => {
    setAsking(true);
    setError(null);
    try {
      const path = `/v1/approvals/${encodeURIComponent(approval.id)}/statement`;
      setMore((await ask<ApprovalText>(path)).statement);
    } catch (thrown) {
      setError(thrown);
    } finally {
      setAsking(false);
    }
  };
  return (
    <>
      <SqlText sql={shown} />
      {isCut && (
        <Notice
          tone="warning"
          title={`Only the first ${bytes(shownBytes)} of ${bytes(whole)} of the statement are shown${end === '' ? '' : ', and its end'}`}
        >
          {more === null ? (
            <button type="button" disabled={isAsking} onClick={() => void showMore()}>
              {isAsking ? 'Loading it…' : 'Show all of it'}
            </button>
          ) : (
            <p>
              The gateway keeps no more of it: nobody can read {bytes(whole - shownBytes - lengthOf(end))} of
              it here. The SHA-256 of the whole is <code class="hash">{approval.statement_sha256}</code>.
            </p>
          )}
        </Notice>
      )}
      {isCut && end !== '' && <SqlText sql={end} label="The end of the statement" isPart={true} />}
      {more !== null && !isCut && <p class="hint">All of it: {bytes(shownBytes)}, down to its end.</p>}
      {error !== null && <Failure error={error} />}
    </>
  );
}
