import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { legibleText } from '../../src/wire/byte-text.ts';

describe('bytes as legible text', () => {
  it.each(['', 'anna', 'müller', '名前', '😀', 'a\\xfc'])('UTF-8 stays what it is: %s', (text) => {
    expect(legibleText(Buffer.from(text))).toBe(text);
  });

  it.each<[string, string]>([
    ['6dfc6c', 'm\ufffdfcl'],
    ['ff', '\ufffdff'],
    ['c3', '\ufffdc3'],
    ['c3bcc3', 'ü\ufffdc3'],
    // An overlong form, a surrogate and what lies beyond Unicode are no UTF-8.
    ['c080', '\ufffdc0\ufffd80'],
    ['eda080', '\ufffded\ufffda0\ufffd80'],
    ['f4908080', '\ufffdf4\ufffd90\ufffd80\ufffd80'],
    // A U+FFFD of its own could pass for one of ours.
    ['efbfbd6663', '\ufffdef\ufffdbf\ufffdbdfc'],
  ])('%s is written %s', (hex, text) => {
    expect(legibleText(Buffer.from(hex, 'hex'))).toBe(text);
  });

  it('can be read back, so that no two names are the same text, and is well formed', () => {
    const back = (text: string): Buffer =>
      Buffer.concat(
        (text.match(/\ufffd[0-9a-f]{2}|./gsu) ?? []).map((piece) =>
          piece.startsWith('\ufffd') ? Buffer.from(piece.slice(1), 'hex') : Buffer.from(piece),
        ),
      );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.string({ unit: 'binary', maxLength: 20 }).map((text) => Buffer.from(text, 'utf8')),
    );
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const mixed = Buffer.concat([a, b]);
        const text = legibleText(mixed);
        expect(text.isWellFormed()).toBe(true);
        expect(back(text)).toEqual(mixed);
      }),
    );
  });
});
