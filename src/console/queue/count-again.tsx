import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { PreviewAnswer } from '../api/preview.ts';
import type { Approval } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { Failure } from '../parts/notice.tsx';
import { useCell } from '../state/cell.ts';
import { principal } from '../state/principal.ts';
import { whyNotApprove } from './may-approve.ts';

interface CountAgainProps {
  readonly approval: Approval;
  readonly reload: () => void;
}

/** For a statement that has waited for long: what it would do by now, of which its session is asked. */
export function CountAgain({ approval, reload }: CountAgainProps) {
  const who = useCell(principal);
  const [isAsking, setAsking] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const { id, state, mode, approved_by: by } = approval;
  if (state !== 'pending' || by.length > 0) return null;
  if (mode === 'ticket')
    return (
      <p class="hint">
        No session waits for it, so that it cannot be counted again now. It is when it runs, and is held again
        where its rows have drifted.
      </p>
    );
  if (whyNotApprove(approval, who) !== null) return null;
  const again = async () => {
    setAsking(true);
    setError(null);
    try {
      await ask<PreviewAnswer>(`/v1/approvals/${encodeURIComponent(id)}/preview`, { method: 'POST' });
      announce('It was counted again.');
      reload();
    } catch (thrown) {
      setError(thrown);
    } finally {
      setAsking(false);
    }
  };
  return (
    <>
      {error !== null && <Failure error={error} />}
      <div class="buttons">
        <button type="button" disabled={isAsking} onClick={() => void again()}>
          {isAsking ? 'Counting…' : 'Count again'}
        </button>
      </div>
    </>
  );
}
