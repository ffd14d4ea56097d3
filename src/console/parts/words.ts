/** How numbers, spans of time and instants are written, in the reader's language and time zone where it matters. */

const count = new Intl.NumberFormat('en');
const few = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

export const number = (value: number): string => count.format(value);

/** Who did something, as the gateway names them: a token is known by its name alone. */
export const nameOf = (by: string): string => by.replace(/^token:/, '');

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

const BYTES = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < BYTES.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return unit === 0 ? plural(value, 'byte') : `${few.format(size)} ${BYTES[unit]}`;
}

/** One unit. */
export function about(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 172_800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
}

/** One unit below a minute, two above. */
export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 10) return `${minutes} min ${s % 60} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long a statement took. */
export function duration(ms: number): string {
  if (ms < 1) return `${few.format(ms * 1000)} µs`;
  if (ms < 1000) return `${few.format(ms)} ms`;
  return ms < 60_000 ? `${few.format(ms / 1000)} s` : span(ms);
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const weekday = new Intl.DateTimeFormat('en-GB', {
  weekday: 'long',
  day: 'numeric',
  month: 'long',
  year: 'numeric',
});
const zoned = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

export const clockTime = (at: Date): string => clock.format(at);
export const dayAndTime = (at: Date): string => `${day.format(at)}, ${clock.format(at)}`;
export const wholeDay = (at: Date): string => weekday.format(at);
export const exact = (at: Date, written: string): string => `${zoned.format(at)} — ${written}`;
