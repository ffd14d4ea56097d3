import { useLayoutEffect, useRef } from 'preact/hooks';

/** What single keys do; not while somebody writes, nor with a dialog open, nor together with other keys. */
export type Keys = Readonly<Record<string, (event: KeyboardEvent) => void>>;

export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  // With what is drawn, and not after it: the first key may come at once.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const action = latest.current[event.key];
      if (action === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isWriting(event.target) || document.querySelector('dialog[open]') !== null) return;
      event.preventDefault();
      // One that is closed stays a moment longer, until its close event takes it away, and would take along what is opened
      // in its place. So a key of that moment waits for the event.
      const going = document.querySelector('dialog');
      if (going === null) return action(event);
      going.addEventListener('close', () => setTimeout(() => latest.current[event.key]?.(event)), {
        once: true,
      });
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

function isWriting(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select, [contenteditable]');
}
