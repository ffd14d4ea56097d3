import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import { waiting } from '../api/live.ts';
import type { Approval, Page } from '../api/types.ts';
import { RiskBadge, StateBadge } from '../parts/badge.tsx';
import { Show } from '../parts/notice.tsx';
import { type Cursors, Paging } from '../parts/paging.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { SqlLine } from '../sql/sql-text.tsx';
import { useCell } from '../state/cell.ts';
import { useLoad } from '../state/load.ts';
import { hrefOf } from '../state/route.ts';

/** What was held and no longer waits, the newest first, a page at a time. */
export function Decided({ openId }: { readonly openId: string | null }) {
  const [cursors, setCursors] = useState<Cursors>([]);
  // What no longer waits has become one of these.
  const waits =
    useCell(waiting)
      .approvals?.map(({ id }) => id)
      .join() ?? '';
  const [loaded, reload] = useLoad(
    (signal) =>
      ask<Page<Approval>>('/v1/approvals', { signal, query: { limit: 50, cursor: cursors.at(-1) } }),
    [cursors.at(-1), waits],
  );
  return (
    <Show loaded={loaded} what="earlier statements" retry={reload}>
      {({ items, next }) => {
        const decided = items.filter(({ state }) => state !== 'pending');
        return (
          <>
            {decided.length === 0 && (
              <p class="empty">
                {next === null ? 'Nothing was decided yet.' : 'Nothing so far; there are older ones.'}
              </p>
            )}
            <ol class="rows">
              {decided.map((approval) => (
                <li key={approval.id}>
                  <EarlierRow approval={approval} isOpen={approval.id === openId} />
                </li>
              ))}
            </ol>
            <div class="buttons">
              <button type="button" onClick={reload}>
                Refresh
              </button>
              <Paging cursors={cursors} next={next} onTurn={setCursors} />
            </div>
          </>
        );
      }}
    </Show>
  );
}

function EarlierRow({ approval, isOpen }: { readonly approval: Approval; readonly isOpen: boolean }) {
  return (
    <a class="row" href={hrefOf('queue', approval.id)} aria-current={isOpen ? 'true' : undefined}>
      <span class="row-head">
        <StateBadge state={approval.state} />
        <RiskBadge risk={approval.risk} />
        <span class="row-who">
          <Visible text={`${approval.role}@${approval.database}`} />
        </span>
        <span class="row-time">
          <Time at={approval.resolved_at ?? approval.created_at} />
        </span>
      </span>
      <SqlLine sql={approval.statement} />
      <span class="row-rule">
        {approval.resolved_by !== null && `by ${approval.resolved_by}`}
        {approval.comment !== null && approval.comment !== '' && ` · “${approval.comment}”`}
      </span>
    </a>
  );
}
