import { HoldfastError } from '../../src/base/errors.ts';
import type { ControlStore } from '../../src/store/control-store.ts';

/** A store that does as a real one does until it is told to fail, or to wait. */
export interface FaultyStore extends ControlStore {
  /** Calls fail like those of a full disk while this is set. */
  failing: boolean;
  /** Calls of this name are carried out, but their answers are lost. */
  losesAnswersOf: keyof ControlStore | null;
  /** Calls wait for this before they are made. */
  gate: Promise<void>;
}

export function faultyStore(real: ControlStore): FaultyStore {
  const state = { failing: false, losesAnswersOf: null, gate: Promise.resolve() };
  return new Proxy(state as FaultyStore, {
    get(target, name) {
      if (name in target) return Reflect.get(target, name);
      const method = Reflect.get(real, name) as ((...parameters: unknown[]) => Promise<unknown>) | undefined;
      if (typeof method !== 'function' || name === 'close') return method?.bind(real);
      return async (...parameters: unknown[]) => {
        await target.gate;
        const failure = new HoldfastError('STORE_FAILED', 'the disk of the store is full');
        if (target.failing) throw failure;
        const value = await method.apply(real, parameters);
        if (target.losesAnswersOf === name) throw failure;
        return value;
      };
    },
  });
}
