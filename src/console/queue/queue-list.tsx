import { memo } from 'preact/compat';
import { useEffect, useState } from 'preact/hooks';
import type { Approval } from '../api/types.ts';
import { RiskBadge } from '../parts/badge.tsx';
import { Age, Left } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { SqlLine } from '../sql/sql-text.tsx';
import { hrefOf, route } from '../state/route.ts';

/**
 * Rows are drawn again only when they change, the list only when rows come or go, and laid out only what is in sight
 * (style/views.css): so hundreds of them cost no more than a few.
 */
export const QueueList = memo(function QueueList({ rows }: { readonly rows: readonly Approval[] }) {
  return (
    <ol class="rows">
      {rows.map((approval) => (
        <li key={approval.id}>
          <Row approval={approval} />
        </li>
      ))}
    </ol>
  );
});

function useIsOpen(id: string): boolean {
  const [isOpen, setOpen] = useState(route.value.id === id);
  useEffect(() => {
    const look = () => setOpen(route.value.id === id);
    look();
    return route.watch(look);
  }, [id]);
  return isOpen;
}

interface RowProps {
  readonly approval: Approval;
}

const Row = memo(function Row({ approval }: RowProps) {
  const { id, role, database, application, statement, risk, rule, created_at, expires_at } = approval;
  const isOpen = useIsOpen(id);
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
  return a.approval.id === b.approval.id && a.approval.expires_at === b.approval.expires_at;
}
