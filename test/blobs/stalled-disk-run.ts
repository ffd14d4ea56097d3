import '../../src/cli/thread-pool.ts';
import { lookup } from 'node:dns/promises';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';

/** Has more reads wait for files than the pool of Node's own size has threads, then looks up the name of a host, and says so. */
const [directory, ...keys] = process.argv.slice(2) as [string, ...string[]];
const store = new DirectoryBlobStore(directory);
const reads = keys.map(async (key) => {
  for await (const _ of store.read(key));
});
await lookup('localhost');
console.log('found');
await Promise.allSettled(reads);
console.log('read');
