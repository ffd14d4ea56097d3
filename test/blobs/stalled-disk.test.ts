import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../store/temporary-folder.ts';

const RUN = fileURLToPath(new URL('stalled-disk-run.ts', import.meta.url));
const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

it('a disk that stalls leaves threads to all else that waits, such as for the name of a host', async () => {
  const folder = await temporaryFolder();
  const keys = Array.from({ length: 20 }, (_, i) => `stalled-${i}`);
  // To open a pipe that nobody writes to waits as long as a disk that does not answer.
  const pipes = keys.map((key) => join(folder.path, key));
  execFileSync('mkfifo', pipes);
  const child = spawn(process.execPath, [RUN, folder.path, ...keys], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  try {
    while (!said.includes('found')) await once(child.stdout, 'data', { signal: AbortSignal.timeout(15_000) });
    // What it said last may be read behind its exit.
    const ended = once(child, 'close');
    for (const pipe of pipes) spawn('sh', ['-c', ': > "$0"', pipe]);
    await ended;
    expect(said).toBe('found\nread\n');
  } finally {
    child.kill('SIGKILL');
    await folder.remove();
  }
});

it('is prepared for before the program uses its pool', () => {
  expect(/^import .*$/m.exec(readFileSync(MAIN, 'utf8'))![0]).toBe("import './thread-pool.ts';");
});
