import { useRef, useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import { lookAgain, waiting } from '../api/live.ts';
import type { Approval } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { RiskBadge } from '../parts/badge.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Failure, Notice } from '../parts/notice.tsx';
import { Left } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { plural } from '../parts/words.ts';
import { useCell } from '../state/cell.ts';
import { Consequences } from './consequences.tsx';
import { HeldStatement } from './held-statement.tsx';

export type Verdict = 'approve' | 'deny' | 'break-glass';

const WORDS = {
  approve: {
    title: 'Approve this statement?',
    button: 'Approve',
    label: 'Comment, kept with it (optional)',
    isDangerous: false,
  },
  deny: {
    title: 'Deny this statement?',
    button: 'Deny',
    label: 'Comment, kept with it and told to the client (optional)',
    isDangerous: true,
  },
  'break-glass': {
    title: 'Break the glass?',
    button: 'Let it run',
    label: 'Reason, kept in the audit',
    isDangerous: true,
  },
} as const satisfies Record<Verdict, object>;

interface DecideProps {
  readonly verdict: Verdict;
  readonly approval: Approval;
  readonly onClose: () => void;
}

interface WhatFollowsProps {
  readonly approval: Approval;
}

/** The last look before a statement runs, or fails. It is bound to the statement that it shows. */
export function DecideDialog({ verdict, approval, onClose }: DecideProps) {
  const [comment, setComment] = useState('');
  const [isAsking, setAsking] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const lookedAt = useRef<string | null>(null);
  const { approvals } = useCell(waiting);
  const stillWaits = approvals?.some(({ id }) => id === approval.id) ?? true;
  const breaks = verdict === 'break-glass';
  const { title, button, label, isDangerous } = WORDS[verdict];
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setAsking(true);
    setError(null);
    try {
      announce(said(await decide(approval.id, verdict, comment.trim(), lookedAt.current)));
      onClose();
    } catch (thrown) {
      setError(thrown);
      setAsking(false);
    } finally {
      lookAgain();
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <p class="dialog-facts">
        <RiskBadge risk={approval.risk} />{' '}
        <Visible text={`${approval.role} in ${approval.database}, from ${approval.client}`} />,{' '}
        <Left until={approval.expires_at} />
      </p>
      <HeldStatement approval={approval} />
      {verdict !== 'deny' && <Consequences approval={approval} lookedAt={lookedAt} />}
      {verdict === 'approve' && <WhatFollows approval={approval} />}
      {!stillWaits && !isAsking && <Notice tone="warning">It no longer waits.</Notice>}
      <form onSubmit={submit}>
        {breaks && <p>It runs at once, without anybody else's approval. The audit says so, loudly.</p>}
        <label for="comment">{label}</label>
        <input
          id="comment"
          value={comment}
          maxLength={2000}
          required={breaks}
          autocomplete="off"
          onInput={(event) => setComment(event.currentTarget.value)}
          autofocus
        />
        {error !== null && <Failure error={error} />}
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={isDangerous ? 'danger' : 'primary'} disabled={isAsking}>
            {isAsking ? 'One moment…' : button}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** What an approval brings about is not the same for all of them. */
function WhatFollows({ approval: { approvals_needed: needed, approved_by: by, mode } }: WhatFollowsProps) {
  const left = needed - by.length - 1;
  const runs =
    mode === 'ticket'
      ? 'its client may run it once, by asking again'
      : 'it runs at once, for its client waits';
  return (
    <p class="hint">
      {left > 0
        ? `It still needs ${plural(left, 'more approval', 'more approvals')}; then ${runs}.`
        : `Then ${runs}.`}
    </p>
  );
}

/** An approval is for what was looked at, and not for what somebody may have had found out since. */
async function decide(
  id: string,
  verdict: Verdict,
  comment: string,
  lookedAt: string | null,
): Promise<Approval> {
  const said = comment === '' ? {} : { comment };
  const seen = verdict === 'approve' && lookedAt !== null ? { preview_computed_at: lookedAt } : {};
  return await ask<Approval>(`/v1/approvals/${encodeURIComponent(id)}/${verdict}`, {
    method: 'POST',
    body: verdict === 'break-glass' ? { reason: comment } : { ...said, ...seen },
  });
}

function said({ state, mode, approvals_needed: needed, approved_by: by }: Approval): string {
  if (state === 'approved' && mode === 'ticket') return 'Approved: it may be run once.';
  if (state !== 'pending') return state === 'approved' ? 'Approved: it runs.' : `It is ${state}.`;
  return `Your approval counts: ${by.length} of ${needed}.`;
}
