import { zstdDecompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { storedFrame } from '../../src/snapshot/zstd-frame.ts';
import { Random, seedOfRun } from '../support/random.ts';

describe('a frame of zstd that stores what it holds', () => {
  it.each([0, 1, 21, 255, 256, 257, 511, 512, 4096, 65_535, 65_536, 65_791])(
    'is read by zstd where it holds %i bytes',
    (length) => {
      const random = new Random(seedOfRun(length));
      const bytes = Buffer.from(Array.from({ length }, () => random.between(0, 255)));
      const frame = storedFrame(bytes);
      expect(zstdDecompressSync(frame).equals(bytes)).toBe(true);
      expect(frame.length - bytes.length).toBeLessThanOrEqual(10);
    },
  );

  it('refuses what its size cannot be told of', () => {
    expect(() => storedFrame(Buffer.alloc(65_792))).toThrow('short');
  });
});
