import { afterEach, beforeEach } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

/** Gives each test a store in a folder of its own. */
export function ownStore(given: (store: DirectoryBlobStore, path: string) => void): void {
  let close: () => Promise<void>;
  beforeEach(async () => {
    const folder = await temporaryFolder();
    const store = new DirectoryBlobStore(folder.path);
    close = async () => {
      await store.close();
      await folder.remove();
    };
    given(store, folder.path);
  });
  afterEach(async () => await close());
}
