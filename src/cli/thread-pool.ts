import { POOL_THREADS } from '../base/thread-pool.ts';

/** Imported ahead of all others: Node makes the pool when it is first used, by what the environment says then. */
process.env['UV_THREADPOOL_SIZE'] ??= String(POOL_THREADS);
