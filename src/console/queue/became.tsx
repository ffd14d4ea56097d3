import { useEffect } from 'preact/hooks';
import { ask, gatewayNowMs } from '../api/client.ts';
import type { Approval, AuditEvent, Page } from '../api/types.ts';
import { Visible } from '../parts/visible.tsx';
import { duration, plural } from '../parts/words.ts';
import { useCell } from '../state/cell.ts';
import { useLoad } from '../state/load.ts';
import { mayDo, principal } from '../state/principal.ts';
import { hrefOf } from '../state/route.ts';

/** The audit has it when it has run, which may take hours: it is looked for as long as it is missing, ever more seldom. */
const lookAgainMs = (ranForMs: number): number => Math.min(AGAIN_MAX_MS, Math.max(AGAIN_MS, ranForMs / 10));
const AGAIN_MS = 1500;
const AGAIN_MAX_MS = 60_000;

/** What a statement has done once it was let through, and the way back. */
export function Became({ approval }: { readonly approval: Approval }) {
  const who = useCell(principal);
  return mayDo(who, 'audit:read') ? <FromAudit approval={approval} /> : null;
}

function FromAudit({ approval: { id, role, grant } }: { readonly approval: Approval }) {
  const [loaded, look] = useLoad(
    async (signal) => {
      const query = { approval_id: id, limit: 20 };
      const { items } = await ask<Page<AuditEvent>>('/v1/audit', { signal, query });
      // Verdicts are there as well.
      return { event: items.find((one) => one.role === role && one.protocol !== 'admin') ?? null };
    },
    [id],
  );
  const event = loaded.value?.event ?? null;
  const since = grant?.consumed_at ?? null;
  useEffect(() => {
    if (loaded.kind === 'loading' || event !== null) return;
    const ranForMs = since === null ? 0 : gatewayNowMs() - Date.parse(since);
    const timer = setTimeout(look, lookAgainMs(ranForMs));
    return () => clearTimeout(timer);
  }, [loaded, since]);
  if (event === null)
    return loaded.value === null ? null : <p>It is running, or the audit has no record of it.</p>;
  return (
    <>
      <p>
        {ENDS[event.end] ?? event.end}
        {event.rows !== null && `: ${plural(event.rows, 'row')}`}
        {event.duration_ms !== null && `, in ${duration(event.duration_ms)}`}
        {event.sqlstate !== null && `, SQLSTATE ${event.sqlstate}`}
      </p>
      {event.snapshot?.startsWith('snap_') === true ? (
        <p>
          <a href={hrefOf('snapshots', event.snapshot)}>Its snapshot, and its undo</a>
        </p>
      ) : (
        event.snapshot !== null && (
          <p>
            Snapshot: <Visible text={event.snapshot} />
          </p>
        )
      )}
    </>
  );
}

const ENDS: Readonly<Record<string, string>> = {
  completed: 'It is done',
  suspended: 'It is done in part',
  failed: 'It failed',
  blocked: 'It was refused all the same',
  'not-run': 'It was not run',
  lost: 'What became of it is not known: the gateway ended meanwhile',
};
