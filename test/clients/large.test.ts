import { describe, expect, it } from 'vitest';
import { eventually, residentBytes } from '../support/process-facts.ts';
import { DATABASE, output, Pair, psql, pythonFile, pythonProgram, SERVERS } from './support.ts';

const MEGABYTES = Number(process.env['TEST_LARGE_MB'] ?? 512);
const GROWTH_MAX_BYTES = 64 * 1024 * 1024;
const LINE_BYTES = 1024;

const linesOf = (megabytes: number): number => (megabytes * 1024 * 1024) / LINE_BYTES;

type Transfer = (port: number, megabytes: number) => Promise<void>;

const TRANSFERS: readonly (readonly [string, Transfer])[] = [
  [
    'COPY out',
    async (port, megabytes) => {
      const query = `select repeat('x', ${LINE_BYTES - 1}) from generate_series(1, ${linesOf(megabytes)})`;
      const { code, stdout, stderr } = await psql(port, ['-c', `\\copy (${query}) to program 'wc -c'`]);
      const said = stdout.trim().split('\n').sort();
      expect({ code, stderr, said }).toEqual({
        code: 0,
        stderr: '',
        said: [String(megabytes * 1024 * 1024), `COPY ${linesOf(megabytes)}`],
      });
    },
  ],
  [
    'COPY in',
    async (port, megabytes) => {
      const line = 'x'.repeat(LINE_BYTES - 1);
      const program = `yes ${line} | head -c ${megabytes * 1024 * 1024}`;
      // The table reads every line and keeps one, which spares the disk.
      const { code, stdout, stderr } = await psql(port, [
        '-c',
        'create temporary table lines (number serial, line text)',
        '-c',
        `\\copy lines (line) from program '${program}' where number = ${linesOf(megabytes)}`,
      ]);
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'CREATE TABLE\nCOPY 1\n', stderr: '' });
    },
  ],
  [
    'a result that is read slowly',
    async (port, megabytes) => {
      const said = await output(pythonProgram('python'), [
        pythonFile('stream.py'),
        String(port),
        DATABASE,
        String(megabytes),
      ]);
      expect(said).toBe(`${megabytes * 1024 * 1024}\n`);
    },
  ],
];

/** The first statements let V8 compile the parser, which for a second takes far more memory than it keeps. */
async function settledBytes(pid: number): Promise<number> {
  let seen = 0;
  await eventually('the memory of the gateway settles', async () => {
    const last = seen;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    seen = residentBytes(pid);
    return Math.abs(seen - last) < 4 * 1024 * 1024 ? null : `at ${seen} bytes after ${last}`;
  });
  return seen;
}

describe.each(SERVERS)(`${MEGABYTES} MB through the gateway with $name`, (server) => {
  it('leave its memory flat', async () => {
    const pair = await Pair.start(server);
    try {
      await pair.freshDatabase();
      for (const [name, transfer] of TRANSFERS) {
        await transfer(pair.gateway.port, 8);
        const before = await settledBytes(pair.gateway.pid);
        let most = before;
        const timer = setInterval(() => {
          most = Math.max(most, residentBytes(pair.gateway.pid));
        }, 25);
        const start = performance.now();
        await transfer(pair.gateway.port, MEGABYTES).finally(() => clearInterval(timer));
        const seconds = (performance.now() - start) / 1000;
        const growth = most - before;
        console.log(
          `${name}: ${seconds.toFixed(1)} s, ${(MEGABYTES / seconds).toFixed(0)} MB/s, ` +
            `memory ${(before / 2 ** 20).toFixed(0)} MB, growth ${(growth / 2 ** 20).toFixed(1)} MB`,
        );
        expect(growth, `${name}: growth of the gateway's memory in bytes`).toBeLessThan(GROWTH_MAX_BYTES);
      }
      pair.gateway.assertAlive();
    } finally {
      await pair.stop();
    }
  });
});
