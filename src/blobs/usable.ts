import { withinMs } from '../base/deadline.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { assertFolderCanBe } from '../base/made-folder.ts';
import type { BlobStore } from './blob-store.ts';
import type { BlobTarget } from './blob-target.ts';
import { codeOf } from './directory-errors.ts';

/** As long as a start waits to hear of a storage that does not answer. */
const PATIENCE_MS = 10_000;

/**
 * Throws where nothing can ever be stored, for want of rights or because a file stands in the place of the folder. What may
 * pass, such as a full disk or a server that is down, is logged, since reads need no storage.
 */
export async function assertUsable(store: BlobStore, log: Pick<Logger, 'error'>): Promise<void> {
  const probed = store.probe();
  probed.catch(() => {});
  try {
    await withinMs(PATIENCE_MS, probed, () => {
      return new HoldfastError(
        'BLOBS_FAILED',
        `the snapshots storage has not answered within ${PATIENCE_MS} ms`,
      );
    });
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'BLOBS_REFUSED') throw error;
    log.error({ error }, 'the snapshots storage cannot be used now');
  }
}

/** Throws where Node would try for ever to make the folder; whatever else is wrong is told when it is used. */
export function assertEnds(target: BlobTarget): void {
  if (target.kind !== 'file') return;
  try {
    assertFolderCanBe(target.directory);
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') return;
    const what = `the snapshots folder ${target.directory} cannot be made`;
    throw new HoldfastError('BLOBS_REFUSED', what, { detail: (cause as Error).message, cause });
  }
}
