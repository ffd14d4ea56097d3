import { useCallback } from 'preact/hooks';
import { useTicking } from '../state/clock.ts';
import { about, clockTime, dayAndTime, exact } from './words.ts';

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
  const text = useTicking(useCallback((nowMs: number) => about(nowMs - Date.parse(at)), [at]));
  return (
    <time dateTime={at} title={exact(new Date(at), at)}>
      {text}
    </time>
  );
}

const SOON_MS = 60_000;

/** How long it still is. */
export function Left({ until }: { readonly until: string }) {
  const say = useCallback(
    (nowMs: number) => {
      const leftMs = Date.parse(until) - nowMs;
      const soon = leftMs < SOON_MS ? 'soon' : '';
      return leftMs <= 0 ? `${soon}|time is up` : `${soon}|${about(leftMs)} left`;
    },
    [until],
  );
  const [soon, text] = useTicking(say).split('|');
  return (
    <time dateTime={until} title={exact(new Date(until), until)} class={soon || undefined}>
      {text}
    </time>
  );
}
