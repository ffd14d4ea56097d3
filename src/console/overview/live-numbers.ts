import { token } from '../api/client.ts';
import { onServerEvent } from '../api/live.ts';
import { Cell } from '../state/cell.ts';

/** Counts of the gateway since its start, as it tells them every five seconds. */
export interface LiveNumbers {
  readonly time: string;
  readonly sessions_open: number;
  readonly statements_held: number;
  readonly statements: Readonly<Record<'risk' | 'action' | 'outcome', Readonly<Record<string, number>>>>;
  readonly decision_seconds: Buckets;
  readonly relay_seconds: Buckets;
}

/** How many were up to each bound and above the one before; the last is above all of them. */
export interface Buckets {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

/** Half an hour. */
const KEPT_MAX = 360;

/** Since somebody signed in; kept while another view is open. */
export const liveNumbers = new Cell<readonly LiveNumbers[]>([]);

export function gatherLiveNumbers(): void {
  token.watch(() => liveNumbers.set([]));
  onServerEvent(({ name, data }) => {
    if (name !== 'status') return;
    try {
      liveNumbers.set([...liveNumbers.value, JSON.parse(data) as LiveNumbers].slice(-KEPT_MAX));
    } catch {
      // What cannot be read is a gap in a chart.
    }
  });
}
