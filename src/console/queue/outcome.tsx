import type { Approval } from '../api/types.ts';
import { Notice } from '../parts/notice.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { hrefOf } from '../state/route.ts';
import { Became } from './became.tsx';

const OUTCOMES: Readonly<Record<string, string>> = {
  approved: 'Approved',
  denied: 'Denied',
  canceled: 'The client gave up',
  disconnected: 'The client went away',
  timeout: 'Nobody decided in time',
  superseded: 'Its tables have changed since, and it was asked for anew',
  abandoned: 'The gateway stopped meanwhile',
};

/** How the wait has ended. */
export function Outcome({ approval }: { readonly approval: Approval }) {
  const { state, resolved_by: by, resolved_at: at, comment, id } = approval;
  return (
    <Notice tone={state === 'approved' ? 'good' : 'plain'}>
      <p>
        <strong>{OUTCOMES[state] ?? state.replaceAll('_', ' ')}</strong>
        {by !== null && ` by ${by}`}
        {at !== null && (
          <>
            , <Time at={at} />
          </>
        )}
      </p>
      {comment !== null && comment !== '' && (
        <p>
          “<Visible text={comment} />”
        </p>
      )}
      <Grant grant={approval.grant ?? null} />
      {approval.grant?.consumed_at != null && <Became approval={approval} />}
      <p>
        <a href={hrefOf('audit', null, { approval_id: id })}>All of it in the audit</a>
      </p>
    </Notice>
  );
}

function Grant({ grant }: { readonly grant: NonNullable<Approval['grant']> | null }) {
  if (grant === null) return null;
  if (grant.consumed_at !== null) {
    return (
      <p>
        Run <Time at={grant.consumed_at} />
        {grant.consumed_by !== null && (
          <>
            {' '}
            by{' '}
            <a href={hrefOf('audit', null, { session: grant.consumed_by })}>
              <code>{grant.consumed_by}</code>
            </a>
          </>
        )}
      </p>
    );
  }
  return (
    <p>
      It may be run once, until <Time at={grant.until} />.
    </p>
  );
}

/** Who has said what so far. */
export function Votes({ approval: { votes = [] } }: { readonly approval: Approval }) {
  if (votes.length === 0) return null;
  return (
    <ul class="plain-list">
      {votes.map(({ principal, verdict, at, comment, break_glass: alone }) => (
        <li key={`${principal} ${at}`}>
          <Visible text={principal} /> {verdict === 'approve' ? 'approved' : 'denied'}, <Time at={at} />
          {alone === true && ', breaking the glass'}
          {comment !== null && comment !== '' && (
            <>
              : “<Visible text={comment} />”
            </>
          )}
        </li>
      ))}
    </ul>
  );
}
