import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { RowSetBuilder } from '../../src/policy/row-set.ts';
import { RowSetSeal } from '../../src/preview/row-set-seal.ts';

const builder = new RowSetBuilder(Buffer.from('the salt of them'), 10);
for (const hash of [3n, 2n ** 63n, 7n]) builder.add(hash);
const SET = builder.set();

describe('sets of rows that are stored', () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const seal = RowSetSeal.from(privateKey);

  it('are read by whoever has the key, for the approval that they are of', () => {
    const sealed = seal.seal('apr_1', SET);
    expect(RowSetSeal.from(privateKey).open('apr_1', sealed)).toEqual(SET);
    expect(seal.open('apr_2', sealed)).toBeNull();
    expect(RowSetSeal.from(generateKeyPairSync('ed25519').privateKey).open('apr_1', sealed)).toBeNull();
  });

  it('show nothing to whoever has not, and are not altered', () => {
    const sealed = seal.seal('apr_1', SET);
    expect(sealed.includes('the salt')).toBe(false);
    for (const at of [0, 13, 30, sealed.length - 1]) {
      const altered = Buffer.from(sealed);
      altered[at]! ^= 1;
      expect(seal.open('apr_1', altered)).toBeNull();
    }
    expect(seal.open('apr_1', Buffer.alloc(0))).toBeNull();
    expect(seal.open('apr_1', sealed.subarray(0, 28))).toBeNull();
  });
});
