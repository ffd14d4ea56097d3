import { memo } from 'preact/compat';
import type { Approval } from '../api/types.ts';
import { RiskBadge } from '../parts/badge.tsx';
import { Age, Left } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { SqlLine } from '../sql/sql-text.tsx';
import { hrefOf } from '../state/route.ts';

/** Rows are drawn again only when they change, and laid out only when they are in sight (style/views.css). */
export function QueueList({
  rows,
  openId,
}: {
  readonly rows: readonly Approval[];
  readonly openId: string | null;
}) {
  return (
    <ol class="rows">
      {rows.map((approval) => (
        <li key={approval.id}>
          <Row approval={approval} isOpen={approval.id === openId} />
        </li>
      ))}
    </ol>
  );
}

interface RowProps {
  readonly approval: Approval;
  readonly isOpen: boolean;
}

const Row = memo(function Row({ approval, isOpen }: RowProps) {
  const { id, role, database, application, statement, risk, rule, created_at, expires_at } = approval;
  return (
    <a class="row" href={hrefOf('queue', id)} data-row={id} aria-current={isOpen ? 'true' : undefined}>
      <span class="row-head">
        <RiskBadge risk={risk} />
        <span class="row-who">
          <Visible text={`${role}@${database}`} />
        </span>
        <span class="row-time">
          for <Age at={created_at} />, <Left until={expires_at} />
        </span>
      </span>
      <SqlLine sql={statement} />
      <span class="row-rule">
        <Visible text={application === '' ? rule : `${rule} · ${application}`} />
      </span>
    </a>
  );
}, sameRow);

/** Each look brings new objects for the same approvals. */
function sameRow(a: RowProps, b: RowProps): boolean {
  return (
    a.isOpen === b.isOpen &&
    a.approval.id === b.approval.id &&
    a.approval.expires_at === b.approval.expires_at
  );
}
