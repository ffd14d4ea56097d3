import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Suites that need Ceph's S3 server from Debian. */
const S3_SUITES = ['test/blobs/s3-blob-store.test.ts', 'test/robustness/fire.test.ts'];

/** Those of the console that need Debian's Chromium. */
const BROWSER_SUITES = 'test/console/*.browser.test.ts';

/**
 * Two projects. `unit` runs anywhere with Node and npm, embedded PostgreSQL included: it is what `npm test`
 * runs. `debian` needs Debian's PostgreSQL 15, drivers of other languages and so on, which `.ci/run` installs.
 */
export default defineConfig({
  test: {
    globalSetup: 'test/support/run-setup.ts',
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/clients/**', 'test/bench/**', ...S3_SUITES, BROWSER_SUITES],
          pool: 'forks',
          // Three also on two cores: a third of the time is spent waiting for servers.
          maxWorkers: Math.max(3, availableParallelism() - 1),
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'debian',
          include: ['test/clients/**/*.test.ts', ...S3_SUITES, BROWSER_SUITES],
          pool: 'forks',
          maxWorkers: 1,
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
