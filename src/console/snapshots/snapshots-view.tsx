import { SnapshotDetail } from './snapshot-detail.tsx';
import { SnapshotList } from './snapshot-list.tsx';

/** What was there before destructive statements, and the way back to it. */
export function SnapshotsView({
  id,
  query,
}: {
  readonly id: string | null;
  readonly query: URLSearchParams;
}) {
  return id === null ? <SnapshotList query={query} /> : <SnapshotDetail key={id} id={id} />;
}
