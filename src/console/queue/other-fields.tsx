import type { Approval } from '../api/types.ts';
import { Facts } from '../parts/facts.tsx';
import { Visible } from '../parts/visible.tsx';

/** Shown elsewhere. */
const KNOWN: readonly string[] = [
  'id',
  'state',
  'created_at',
  'expires_at',
  'resolved_at',
  'resolved_by',
  'comment',
  'approvals_needed',
  'approved_by',
  'session',
  'role',
  'database',
  'application',
  'client',
  'statement',
  'statement_end',
  'statement_bytes',
  'statement_sha256',
  'parameters',
  'operation',
  'risk',
  'reasons',
  'tables',
  'rule',
  'reason',
  'mode',
  'approvers',
  'votes',
  'grant',
  'binding',
  'drift',
];

/** What a later gateway says of an approval and this page does not know: whoever decides should see it all the same. */
export function OtherFields({ approval }: { readonly approval: Approval }) {
  const others = Object.entries(approval).filter(([name, value]) => !KNOWN.includes(name) && value !== null);
  if (others.length === 0) return null;
  return (
    <>
      <h3>Further</h3>
      <Facts
        facts={others.map(([name, value]) => ({
          name: name.replaceAll('_', ' '),
          value:
            typeof value === 'string' ? (
              value
            ) : (
              <code class="json">
                <Visible text={JSON.stringify(value)} />
              </code>
            ),
        }))}
      />
    </>
  );
}
