import { expect, it } from 'vitest';
import { queryTextEnd, stringEnd } from '../../src/wire/frontend.ts';

it('a string ends at its first NUL, wherever it and that stand', () => {
  for (const length of [0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 511, 512, 513, 700])
    for (let start = 0; start < 5; start++) {
      // Bytes above 127 and of 1 are what a NUL could be taken for, where four are looked at together.
      const bytes = Buffer.alloc(start + length + 9, Buffer.from([1, 128, 255, 129]));
      const nul = start + length;
      expect(stringEnd(bytes, start, bytes.length)).toBe(-1);
      bytes[nul] = 0;
      bytes[nul + 1] = 0;
      expect(stringEnd(bytes, start, bytes.length)).toBe(nul);
      expect(stringEnd(bytes, start, nul + 1)).toBe(nul);
      expect(stringEnd(bytes, start, nul)).toBe(-1);
      expect(queryTextEnd(bytes, start, nul + 1)).toBe(nul);
      expect(queryTextEnd(bytes, start, nul + 2)).toBe(-1);
      // What stands in front of it is no part of it.
      if (start > 0) bytes[start - 1] = 0;
      expect(stringEnd(bytes, start, bytes.length)).toBe(nul);
    }
});
