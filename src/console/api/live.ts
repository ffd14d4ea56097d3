import { Cell } from '../state/cell.ts';
import { ApiProblem, ask, askRaw, isAborted, isForbidden, token } from './client.ts';
import { readEvents, type ServerEvent } from './event-stream.ts';
import type { Approval, Page } from './types.ts';

/** The statements that wait, as they are now. */
export interface Waiting {
  /** The oldest first; null until the first answer. */
  readonly approvals: readonly Approval[] | null;
  /** There are more than are shown. */
  readonly isCut: boolean;
  readonly error: unknown;
  /** How the page learns of changes. */
  readonly by: 'events' | 'polling';
}

export const waiting = new Cell<Waiting>({ approvals: null, isCut: false, error: null, by: 'polling' });

/** Events of the gateway other than those of approvals, for the views that show what they are about. */
const listeners = new Set<(event: ServerEvent) => void>();

export function onServerEvent(listener: (event: ServerEvent) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const WAITING_MAX = 1000;
const POLL_MS = 2000;
/** While events come, a look all the same: an event may be lost, and then this is how late it is noticed. */
const LOOK_MS = 30_000;
/** Events that come together are answered with one request. */
const GATHER_MS = 120;
/** The gateway says something every five seconds. */
const SILENCE_MS = 16_000;
/** Rights change seldom. */
const FORBIDDEN_MS = 60_000;
const AGAIN_MS = 1000;
const AGAIN_MS_MAX = 15_000;

/** Follows the gateway until somebody else, or nobody, is signed in. */
export function followGateway(): void {
  let stop = () => {};
  const start = () => {
    stop();
    waiting.set({ approvals: null, isCut: false, error: null, by: 'polling' });
    stop = token.value === null ? () => {} : follow();
  };
  token.watch(start);
  start();
}

/** Looks again at once, for whoever has changed something. */
export let lookAgain = (): void => {};

function follow(): () => void {
  const abort = new AbortController();
  const list = new WaitingList(abort.signal);
  lookAgain = () => list.lookIn(0);
  addEventListener('online', lookAgain, { signal: abort.signal });
  list.lookIn(0);
  void listen(list, abort.signal);
  return () => {
    abort.abort();
    list.stop();
  };
}

class WaitingList {
  readonly #signal: AbortSignal;
  #etag: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #busy = false;
  #again = false;
  hasEvents = false;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Looks within this time, or earlier if that was planned. */
  lookIn(delayMs: number): void {
    if (this.#signal.aborted) return;
    const dueMs = performance.now() + delayMs;
    if (dueMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => void this.#look(), delayMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    this.#dueMs = Number.POSITIVE_INFINITY;
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    let nextMs = this.hasEvents ? LOOK_MS : POLL_MS;
    try {
      await this.#ask();
    } catch (error) {
      if (isAborted(error) || this.#signal.aborted) return;
      waiting.set({ ...waiting.value, error, by: this.#by });
      nextMs = isForbidden(error) ? FORBIDDEN_MS : POLL_MS;
    } finally {
      this.#busy = false;
      const soon = this.#again;
      this.#again = false;
      this.lookIn(soon ? GATHER_MS : nextMs);
    }
  }

  async #ask(): Promise<void> {
    const response = await askRaw('/v1/approvals', {
      query: { state: 'pending', spread: 'role', limit: WAITING_MAX },
      signal: AbortSignal.any([this.#signal, AbortSignal.timeout(20_000)]),
      headers: this.#etag === null ? {} : { 'if-none-match': this.#etag },
    });
    if (response.status === 304) {
      waiting.set({ ...waiting.value, error: null, by: this.#by });
      return;
    }
    const { items, next } = (await response.json()) as Page<Approval>;
    this.#etag = response.headers.get('etag');
    waiting.set({ approvals: items.toReversed(), isCut: next !== null, error: null, by: this.#by });
  }

  get #by(): Waiting['by'] {
    return this.hasEvents ? 'events' : 'polling';
  }
}

/** Keeps a stream of events open. Where the gateway has none to give, polling goes on alone. */
async function listen(list: WaitingList, signal: AbortSignal): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const response = await askRaw('/v1/events', { signal, headers: { accept: 'text/event-stream' } });
      failures = 0;
      list.hasEvents = true;
      list.lookIn(0);
      await readEvents(response, SILENCE_MS, (event) => hear(event, list));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiProblem && (error.problem.status === 404 || error.problem.status === 403))
        return;
    } finally {
      // Between the last event and now something may have happened.
      if (list.hasEvents) list.lookIn(0);
      list.hasEvents = false;
    }
    failures += 1;
    await new Promise((resolve) => setTimeout(resolve, Math.min(AGAIN_MS * failures, AGAIN_MS_MAX)));
  }
}

function hear(event: ServerEvent, list: WaitingList): void {
  if (event.name !== 'status') list.lookIn(GATHER_MS);
  for (const listener of [...listeners]) listener(event);
}

/** One approval, also one that no longer waits. */
export const askApproval = (id: string, signal: AbortSignal): Promise<Approval> =>
  ask<Approval>(`/v1/approvals/${encodeURIComponent(id)}`, { signal });
