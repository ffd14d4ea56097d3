import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import { askApproval } from '../api/live.ts';
import type { Approval, ApprovalText } from '../api/types.ts';
import { Failure, Notice } from '../parts/notice.tsx';
import { bytes } from '../parts/words.ts';
import { SqlText } from '../sql/sql-text.tsx';

const encoder = new TextEncoder();
const lengthOf = (text: string): number => encoder.encode(text).length;

/** Lists have no more than the beginning of a statement, and not its end. */
function isBrief({ statement, statement_bytes: whole, statement_end: end }: Approval): boolean {
  return (whole ?? null) !== null && (end ?? '') === '' && lengthOf(statement) < whole!;
}

/** The statement, and how much of it that is: nobody is to approve what they do not know of. */
export function HeldStatement({ approval: listed }: { readonly approval: Approval }) {
  const [detail, setDetail] = useState<Approval | null>(null);
  const approval = detail?.id === listed.id ? detail : listed;
  const [more, setMore] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const shown = more ?? approval.statement;
  const end = approval.statement_end ?? '';
  const whole = approval.statement_bytes ?? null;
  const shownBytes = lengthOf(shown);
  const isCut = whole !== null && shownBytes < whole;
  useEffect(() => {
    if (!isBrief(listed)) return;
    const abort = new AbortController();
    askApproval(listed.id, abort.signal).then(setDetail, (thrown: unknown) => {
      if (!abort.signal.aborted) setError(thrown);
    });
    return () => abort.abort();
  }, [listed.id]);
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
