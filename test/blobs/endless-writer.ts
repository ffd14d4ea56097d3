import { writeSync } from 'node:fs';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';

/**
 * The child that the SIGKILL test kills: several writers at once, whose keys end in the length of their blobs. Each
 * finished blob is a line of its own, without a buffer between.
 */
const [, , root, round] = process.argv;
const store = new DirectoryBlobStore(root!);
let number = 0;

async function writer(): Promise<void> {
  for (;;) {
    const own = ++number;
    const pieces = 1 + (own % 40);
    const piece = Buffer.alloc(50_000, own);
    const key = `r${round}/${own}.${pieces * piece.length}`;
    if (own % 5 === 0) {
      const put = await store.putIfAbsent(key, Buffer.alloc(pieces * piece.length, own));
      if (put.kind === 'created') writeSync(1, `${JSON.stringify({ key, ...put.summary })}\n`);
    } else {
      const blob = await store.create(key);
      for (let i = 0; i < pieces; i++) await blob.write(piece);
      writeSync(1, `${JSON.stringify({ key, ...(await blob.finish()) })}\n`);
    }
  }
}

await Promise.all([writer(), writer(), writer(), writer()]);
