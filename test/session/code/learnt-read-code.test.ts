import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/base/limits.ts';
import type { ReadCode } from '../../../src/catalog/read-code.ts';
import { LearntReadCode } from '../../../src/session/code/learnt-read-code.ts';

const CODE: ReadCode = {
  relations: new Map(),
  byOid: new Map(),
  ofRows: new Set(),
  ofValues: new Set(),
  asCatalog: new Set(),
  operators: new Set(),
  types: new Set(),
  typeOids: new Set(),
  castsAnything: false,
  hasUnreadable: false,
  oneSnapshot: false,
  isOld: false,
  isReadOnly: false,
};

describe('what sessions learn of code behind reads', () => {
  it('is what another session is told', async () => {
    const shared = new LearntReadCode();
    const asked = Promise.withResolvers<ReadCode | null>();
    const own = shared.asks('shop', asked.promise);
    const other = shared.othersAnswer('shop');
    expect(await shared.othersAnswer('elsewhere')).toBeNull();
    asked.resolve(CODE);
    expect([await own, await other]).toEqual([CODE, CODE]);
    expect(await shared.othersAnswer('shop')).toBeNull();
  });

  it('is asked once more where another session is not told in time, as one whose client does not read', async () => {
    const shared = new LearntReadCode();
    void shared.asks('shop', new Promise(() => {}));
    const began = performance.now();
    expect(await shared.othersAnswer('shop')).toBeNull();
    expect(performance.now() - began).toBeLessThan(LIMITS.previewStatementMs + 1_000);
  });

  it('is not what was asked before something changed, or by an old snapshot', async () => {
    const shared = new LearntReadCode();
    const asked = Promise.withResolvers<ReadCode | null>();
    void shared.asks('shop', asked.promise);
    const other = shared.othersAnswer('shop');
    shared.forget();
    asked.resolve(CODE);
    expect(await other).toBeNull();
    void shared.asks('shop', Promise.resolve({ ...CODE, isOld: true }));
    expect(await shared.othersAnswer('shop')).toBeNull();
  });

  it('is kept as what was known last when it is forgotten', () => {
    const shared = new LearntReadCode();
    expect(shared.last('shop')).toBeNull();
    shared.keep('shop', { code: CODE, untilMs: 0 });
    shared.forget();
    expect([shared.find('shop'), shared.last('shop')]).toEqual([null, CODE]);
  });
});
