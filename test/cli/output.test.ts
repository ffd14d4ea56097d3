import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { reapAtExit } from '../support/reap.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const COUNT = 1_500;

/** Explains some statements that are long, so that what is said is many times what a pipe holds. */
function explainLong(): ChildProcess {
  const child = spawn(process.execPath, [MAIN, 'explain', '--json', '--exit-code', '-'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  reapAtExit(child, 'SIGKILL');
  const note = 'x'.repeat(800);
  child.stdin!.end(Array.from({ length: COUNT }, (_, i) => `delete from t${i} /* ${note} */`).join(';'));
  return child;
}

describe('output through a pipe', () => {
  it('comes whole to a reader that is slow, with the exit code', async () => {
    const child = explainLong();
    const exit = once(child, 'close');
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout!) {
      chunks.push(chunk as Buffer);
      await new Promise((resolve) => setTimeout(resolve, chunks.length === 1 ? 1_500 : 1));
    }
    const text = Buffer.concat(chunks).toString('utf8');
    expect(text.length).toBeGreaterThan(1_000_000);
    expect(JSON.parse(text).analysis.statements).toHaveLength(COUNT);
    expect(await exit).toEqual([3, null]);
  });

  it('ends the command quietly where the reader has seen enough', async () => {
    const child = explainLong();
    const exit = once(child, 'exit');
    child.stdout!.once('data', () => child.stdout!.destroy());
    expect(await exit).toEqual([3, null]);
  });
});
