import { useEffect, useRef, useState } from 'preact/hooks';
import { ask, isAborted, isLost, onReturn } from '../api/client.ts';
import type { AuditEvent, Page } from '../api/types.ts';

interface Found {
  readonly events: readonly AuditEvent[];
  readonly next: string | null;
  readonly isAsking: boolean;
  readonly error: unknown;
}

export interface AuditSearch extends Found {
  readonly older: () => void;
  readonly refresh: () => void;
}

const PAGE = 100;
/** A page may be empty and still not be the last; so often it is asked on without a word. */
const EMPTY_PAGES_MAX = 25;
const NOTHING: Found = { events: [], next: null, isAsking: true, error: null };

export function useAuditSearch(query: string): AuditSearch {
  const [found, setFound] = useState<Found>(NOTHING);
  const [round, setRound] = useState(0);
  const abort = useRef<AbortController | null>(null);

  const go = async (before: readonly AuditEvent[], cursor: string | null): Promise<void> => {
    abort.current?.abort();
    const own = new AbortController();
    abort.current = own;
    setFound({ events: before, next: null, isAsking: true, error: null });
    try {
      const page = await nextEvents(query, cursor, own.signal);
      if (own.signal.aborted) return;
      setFound({ events: [...before, ...page.items], next: page.next, isAsking: false, error: null });
    } catch (error) {
      if (own.signal.aborted || isAborted(error)) return;
      setFound({ events: before, next: cursor, isAsking: false, error });
    }
  };
  useEffect(() => {
    void go([], null);
    return () => abort.current?.abort();
  }, [query, round]);
  const isGone = isLost(found.error);
  useEffect(() => {
    if (isGone) return onReturn(() => setRound((count) => count + 1));
  }, [isGone]);
  return {
    ...found,
    older: () => void go(found.events, found.next),
    refresh: () => setRound((count) => count + 1),
  };
}

async function nextEvents(
  query: string,
  from: string | null,
  signal: AbortSignal,
): Promise<Page<AuditEvent>> {
  let cursor = from;
  for (let pages = 1; ; pages++) {
    const asked = { ...Object.fromEntries(new URLSearchParams(query)), limit: PAGE };
    const page = await ask<Page<AuditEvent>>('/v1/audit', {
      signal,
      query: cursor === null ? asked : { ...asked, cursor },
    });
    if (page.items.length > 0 || page.next === null || pages === EMPTY_PAGES_MAX) return page;
    cursor = page.next;
  }
}
