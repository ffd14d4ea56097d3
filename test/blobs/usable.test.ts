import { expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { assertUsable } from '../../src/blobs/usable.ts';

const storeThat = (probe: () => Promise<void>) => ({ probe }) as BlobStore;

async function logged(store: BlobStore): Promise<string[]> {
  const lines: string[] = [];
  await assertUsable(store, { error: (_: object, message: string) => void lines.push(message) } as never);
  return lines;
}

it('a storage that refuses ends the start', async () => {
  const refused = new HoldfastError('BLOBS_REFUSED', 'there is no bucket named "b"');
  await expect(logged(storeThat(() => Promise.reject(refused)))).rejects.toBe(refused);
});

it('a storage that is down, or full, does not: reads need none', async () => {
  for (const code of ['BLOBS_FAILED', 'BLOBS_FULL'] as const) {
    const store = storeThat(() => Promise.reject(new HoldfastError(code, 'not now')));
    expect(await logged(store)).toEqual(['the snapshots storage cannot be used now']);
  }
});

it('a storage that works is not spoken of', async () => {
  expect(await logged(storeThat(() => Promise.resolve()))).toEqual([]);
});
