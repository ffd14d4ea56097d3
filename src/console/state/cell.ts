import { useEffect, useState } from 'preact/hooks';

/** A value that several parts of the page show. */
export class Cell<T> {
  #value: T;
  readonly #watchers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher();
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

export function useCell<T>(cell: Cell<T>): T {
  const [, redraw] = useState(0);
  const drawn = cell.value;
  useEffect(() => {
    const unwatch = cell.watch(() => redraw((count) => count + 1));
    // It may have changed between the drawing and this.
    if (!Object.is(drawn, cell.value)) redraw((count) => count + 1);
    return unwatch;
  }, [cell]);
  return drawn;
}
