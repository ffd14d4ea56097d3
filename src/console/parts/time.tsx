import { useNowMs } from '../state/clock.ts';
import { clockTime, dayAndTime, exact, span } from './words.ts';

/** An instant in the reader's zone; the exact one is in its title. */
export function Time({ at, form = 'day' }: { readonly at: string; readonly form?: 'day' | 'clock' }) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return <span>{at}</span>;
  return (
    <time dateTime={at} title={exact(date, at)}>
      {form === 'day' ? dayAndTime(date) : clockTime(date)}
    </time>
  );
}

/** How long ago it was. */
export function Age({ at }: { readonly at: string }) {
  const nowMs = useNowMs();
  return (
    <time dateTime={at} title={exact(new Date(at), at)}>
      {span(nowMs - Date.parse(at))}
    </time>
  );
}

const SOON_MS = 60_000;

/** How long it still is. */
export function Left({ until }: { readonly until: string }) {
  const leftMs = Date.parse(until) - useNowMs();
  return (
    <time
      dateTime={until}
      title={exact(new Date(until), until)}
      class={leftMs < SOON_MS ? 'soon' : undefined}
    >
      {leftMs <= 0 ? 'time is up' : `${span(leftMs)} left`}
    </time>
  );
}
