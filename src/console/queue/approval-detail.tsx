import { useEffect } from 'preact/hooks';
import { askApproval, onServerEvent } from '../api/live.ts';
import type { Approval } from '../api/types.ts';
import { RiskBadge, StateBadge } from '../parts/badge.tsx';
import { Facts, Names } from '../parts/facts.tsx';
import { Notice, Show } from '../parts/notice.tsx';
import { Age, Left, Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { plural } from '../parts/words.ts';
import { useCell } from '../state/cell.ts';
import { useLoad } from '../state/load.ts';
import { mayDo, type Principal, principal } from '../state/principal.ts';
import { hrefOf } from '../state/route.ts';
import type { Verdict } from './decide-dialog.tsx';
import { HeldStatement } from './held-statement.tsx';
import { whyNotApprove } from './may-approve.ts';
import { OtherFields } from './other-fields.tsx';
import { Outcome, Votes } from './outcome.tsx';
import { Preview } from './preview.tsx';

interface DetailProps {
  readonly id: string;
  /** All that wait; null while that is not known. */
  readonly held: readonly Approval[] | null;
  readonly onDecide: (verdict: Verdict, approval: Approval) => void;
}

/** One statement with all that is known of it; also after it has been decided, so that it does not vanish under the eyes. */
export function ApprovalDetail({ id, held, onDecide }: DetailProps) {
  const waits = held?.find((one) => one.id === id) ?? null;
  const [loaded, reload] = useLoad(
    async (signal) => waits ?? (await askApproval(id, signal)),
    [id, waits !== null],
  );
  // A ticket that was approved is used later, and says so then.
  useEffect(
    () =>
      onServerEvent(({ name, data }) => {
        if (name === 'approval' && data.includes(`"${id}"`)) reload();
      }),
    [id],
  );
  const back = (
    <a class="back" href={hrefOf('queue')}>
      ← Queue
    </a>
  );
  if (waits !== null) {
    return (
      <>
        {back}
        <Statement approval={waits} onDecide={onDecide} />
      </>
    );
  }
  return (
    <>
      {back}
      <Show loaded={loaded} what="the statement" retry={reload}>
        {(approval) => <Statement approval={approval} onDecide={onDecide} />}
      </Show>
    </>
  );
}

interface StatementProps {
  readonly approval: Approval;
  readonly onDecide: DetailProps['onDecide'];
}

function Statement({ approval, onDecide }: StatementProps) {
  const who = useCell(principal);
  const waits = approval.state === 'pending';
  return (
    <article class="statement">
      <h2>
        <RiskBadge risk={approval.risk} /> <StateBadge state={approval.state} /> {approval.operation}
      </h2>
      <Asker approval={approval} />
      <p class="reason">
        <span class="hint">Held by</span> {approval.rule}
        {approval.reason !== '' && `: ${approval.reason}`}
      </p>
      <HeldStatement approval={approval} />
      <Warnings approval={approval} />
      {waits ? (
        <Buttons approval={approval} who={who} onDecide={onDecide} />
      ) : (
        <Outcome approval={approval} />
      )}
      <Preview approval={approval} />
      <ApprovalFacts approval={approval} />
      <OtherFields approval={approval} />
    </article>
  );
}

/** Who has asked, on one line, since when, and how. */
function Asker({ approval }: { readonly approval: Approval }) {
  const { role, database, application, client, created_at, expires_at, state, mode } = approval;
  return (
    <p class="asker">
      <strong>
        <Visible text={role} />
      </strong>{' '}
      in{' '}
      <strong>
        <Visible text={database} />
      </strong>
      , <Visible text={`${application === '' ? '' : `${application}, `}from ${client}`} />
      {state === 'pending' && (
        <>
          {' · '}
          {mode === 'ticket' ? 'asked' : 'waits'} <Age at={created_at} />
          {mode === 'ticket' ? ' ago' : ''}, <Left until={expires_at} />
        </>
      )}
    </p>
  );
}

/** What whoever decides has to know first. */
function Warnings({ approval: { drift = [], binding } }: { readonly approval: Approval }) {
  const lost = binding?.without_snapshot ?? null;
  return (
    <>
      {drift.length > 0 && (
        <Notice tone="warning" title="It was approved before, and is not what it was then">
          <ul>
            {drift.map((phrase) => (
              <li key={phrase}>
                <Visible text={phrase} />
              </li>
            ))}
          </ul>
        </Notice>
      )}
      {lost !== null && (
        <Notice tone="warning" title="It could not be undone: there will be no snapshot of it">
          <p>
            <Visible text={lost} />
          </p>
        </Notice>
      )}
    </>
  );
}

interface ButtonsProps extends StatementProps {
  readonly who: Principal | null;
}

function Buttons({ approval, who, onDecide }: ButtonsProps) {
  const { approvals_needed: needed, approved_by: by } = approval;
  const whyNot = whyNotApprove(approval, who);
  // Offered to those alone of whom it is known.
  const breaks = who !== null && mayDo(who, 'approval:break_glass');
  return (
    <div class="decide">
      {needed > 1 && (
        <p>
          {by.length} of {plural(needed, 'approval')}
          {by.length > 0 && `, by ${by.join(', ')}`}
        </p>
      )}
      {approval.approvers != null && <p>By members of {approval.approvers.join(', ')}</p>}
      <Votes approval={approval} />
      {whyNot !== null && <Notice tone="warning">{whyNot}</Notice>}
      <div class="buttons">
        <button
          type="button"
          class="primary"
          disabled={whyNot !== null}
          onClick={() => onDecide('approve', approval)}
        >
          Approve… <kbd>a</kbd>
        </button>
        <button
          type="button"
          class="danger"
          disabled={!mayDo(who, 'approval:write')}
          onClick={() => onDecide('deny', approval)}
        >
          Deny… <kbd>d</kbd>
        </button>
        {breaks && (
          <button type="button" class="quiet" onClick={() => onDecide('break-glass', approval)}>
            Break the glass…
          </button>
        )}
      </div>
    </div>
  );
}

const MODES = {
  live: 'its session waits',
  ticket: 'its client was told to come back; once approved, it may be run once',
} as const;

function ApprovalFacts({ approval }: { readonly approval: Approval }) {
  const {
    role,
    database,
    application,
    client,
    parameters,
    reasons,
    tables,
    created_at,
    expires_at,
    binding,
    mode,
  } = approval;
  return (
    <>
      <h3>Who and why</h3>
      <Facts
        facts={[
          { name: 'Role', value: role },
          ...(binding === undefined || binding.runs_as === role
            ? []
            : [{ name: 'Runs as', value: binding.runs_as }]),
          { name: 'Database', value: database },
          { name: 'Application', value: application },
          { name: 'Client', value: client },
          ...(mode === undefined ? [] : [{ name: 'How it waits', value: MODES[mode] }]),
          ...(binding === undefined ? [] : [{ name: 'Search path', value: binding.search_path }]),
          { name: 'Why this risk', value: reasons.join('; ') },
          { name: 'Tables', value: <Names names={tables} none="none named" /> },
          { name: 'Parameters', value: parameters === 0 ? 'none' : plural(parameters, 'parameter') },
          {
            name: 'Waits since',
            value: (
              <span>
                <Time at={created_at} /> (<Age at={created_at} />)
              </span>
            ),
          },
          { name: 'Until', value: <Time at={expires_at} /> },
          {
            name: 'Session',
            value: (
              <a href={hrefOf('audit', null, { session: approval.session })}>
                <code>{approval.session}</code>
              </a>
            ),
          },
          { name: 'Id', value: <code>{approval.id}</code> },
        ]}
      />
    </>
  );
}
