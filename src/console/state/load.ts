import { useCallback, useEffect, useState } from 'preact/hooks';
import { isAborted, isLost, onReturn } from '../api/client.ts';

/** Something that is asked of the API for a view; what was there before stays while it is asked again. */
export type Loaded<T> =
  | { readonly kind: 'loading'; readonly value: T | null }
  | { readonly kind: 'failed'; readonly value: T | null; readonly error: unknown }
  | { readonly kind: 'ready'; readonly value: T };

export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  keys: readonly unknown[],
): readonly [Loaded<T>, () => void] {
  const [loaded, set] = useState<Loaded<T>>({ kind: 'loading', value: null });
  const [round, next] = useState(0);
  const [shown, setShown] = useState<string>('');
  const key = JSON.stringify(keys);
  useEffect(() => {
    const abort = new AbortController();
    set((old) => ({ kind: 'loading', value: key === shown ? old.value : null }));
    setShown(key);
    load(abort.signal)
      .then((value) => !abort.signal.aborted && set({ kind: 'ready', value }))
      .catch((error: unknown) => {
        if (abort.signal.aborted || isAborted(error)) return;
        set((old) => ({ kind: 'failed', value: old.value, error }));
      });
    return () => abort.abort();
  }, [key, round]);
  const waitsForReturn = loaded.kind === 'failed' && isLost(loaded.error);
  useEffect(() => {
    if (waitsForReturn) return onReturn(() => next((count) => count + 1));
  }, [waitsForReturn]);
  return [loaded, useCallback(() => next((count) => count + 1), [])] as const;
}
