import { ask } from '../api/client.ts';
import type { Status } from '../api/types.ts';
import { Failure, Loading, Notice } from '../parts/notice.tsx';
import { number, plural } from '../parts/words.ts';
import { useCell } from '../state/cell.ts';
import { useLoad } from '../state/load.ts';
import { mayDo, principal } from '../state/principal.ts';
import { AuditFilters } from './audit-filters.tsx';
import { AuditTimeline } from './audit-timeline.tsx';
import { Density } from './density.tsx';
import { useAuditSearch } from './search.ts';

/** What has run, was held or refused, and what was done over the API; the newest first. */
export function AuditView({ query }: { readonly query: URLSearchParams }) {
  const search = useAuditSearch(query.toString());
  const { events, next, isAsking, error } = search;
  return (
    <>
      <h1>Audit</h1>
      <Chain />
      <AuditFilters key={query.toString()} query={query} isAsking={isAsking} onRefresh={search.refresh} />
      {error !== null && <Failure error={error} retry={search.refresh} />}
      {events.length > 1 && <Density events={events} />}
      <AuditTimeline events={events} />
      {isAsking && <Loading what={events.length === 0 ? 'the audit' : 'older events'} />}
      {!isAsking && error === null && events.length === 0 && next === null && (
        <p class="empty">{query.size === 0 ? 'Nothing is recorded yet.' : 'No event matches.'}</p>
      )}
      {!isAsking && events.length > 0 && (
        <p class="hint">
          {plural(events.length, 'event')}
          {next === null && ', which are all that match'}
        </p>
      )}
      {!isAsking && next !== null && (
        <div class="buttons">
          <button type="button" onClick={search.older}>
            {events.length === 0 ? 'Nothing so far; search further back' : 'Older'}
          </button>
        </div>
      )}
    </>
  );
}

/** How far what is recorded can no longer be changed unseen. */
function Chain() {
  const who = useCell(principal);
  const [loaded] = useLoad(
    async (signal) => (mayDo(who, 'metadata:read') ? await ask<Status>('/v1/status', { signal }) : null),
    [who?.name ?? null],
  );
  if (loaded.kind !== 'ready' || loaded.value === null) return null;
  const { anchored_to: to, anchor_problem: problem, failures } = loaded.value.audit;
  return (
    <>
      <p class="hint">
        {to === 0
          ? 'Nothing of it is signed and anchored outside the store yet. '
          : `Signed, and anchored outside the store, up to event ${number(to)}. `}
        <code>holdfast audit verify</code> proves it offline.
      </p>
      {problem !== null && <Notice tone="warning" title={`The newest events are not anchored: ${problem}`} />}
      {failures > 0 && <Notice tone="bad" title={`${plural(failures, 'write')} of the audit failed`} />}
    </>
  );
}
