import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scratchFolder } from './postgres.ts';
import { reapAtExit } from './reap.ts';

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** A command whose second session of three finds something, unless it is to fail or to wait. */
const EXAMPLE = `
import { atLength } from '${new URL('./at-length.ts', import.meta.url).href}';
const command = {
  script: 'fuzz:example',
  does: 'Says what it finds.',
  repeats: ['sessions', 3],
  numbers: { statements: [5, 'in each'] },
  words: { ends: [['well', 'badly', 'never'], 'how it ends'] },
};
await atLength(command, async (run) => {
  const postgres = await run.postgres();
  console.log(JSON.stringify({ pid: postgres.pid, folder: process.env.TMPDIR }));
  if (run.word('ends') === 'never') await new Promise(() => setInterval(() => {}, 1000));
  await run.each(async (seed) => {
    if (run.word('ends') === 'badly') throw new Error('it has failed');
    return seed === 8 ? 'it is wrong' : null;
  });
  run.tell({ statements: run.number('statements') });
});
`;

describe('a command that tests at length', () => {
  let folder: string;
  let example: string;
  beforeAll(async () => {
    folder = await scratchFolder('at-length');
    example = join(folder, 'example.mjs');
    writeFileSync(example, EXAMPLE);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function start(...options: string[]): ChildProcess {
    const environment = { ...process.env, HOLDFAST_SEED: '' };
    const child = spawn(process.execPath, [example, ...options], { env: environment, stdio: 'pipe' });
    reapAtExit(child, 'SIGTERM');
    return child;
  }

  async function ended(child: ChildProcess): Promise<{ code: number; out: string; errors: string }> {
    const [out, errors, [code]] = await Promise.all([
      text(child.stdout!),
      text(child.stderr!),
      once(child, 'exit'),
    ]);
    return { code: code as number, out, errors };
  }

  const leftBy = (out: string) => {
    const { pid, folder } = JSON.parse(out.split('\n').find((line) => line.startsWith('{"pid"'))!) as {
      pid: number;
      folder: string;
    };
    return [isRunning(pid), existsSync(folder)];
  };

  it('says what it does and takes', async () => {
    const { code, out, errors } = await ended(start('--help'));
    expect([code, errors]).toEqual([0, '']);
    expect(out).toContain('Says what it finds.');
    for (const option of ['sessions', 'seconds', 'findings', 'seed', 'version', 'statements', 'ends'])
      expect(out).toContain(`  --${option} `);
  });

  it.each([
    ['an option that is not there', ['--sesions', '3'], "Unknown option '--sesions'"],
    ['a number that is none', ['--sessions', 'many'], '--sessions is a whole number, not many'],
    ['a version that is not there', ['--version', '9'], '--version is 18 or 15, not 9'],
  ])('refuses %s, without a stack', async (_, options, why) => {
    const { code, out, errors } = await ended(start(...options));
    expect([code, out]).toEqual([2, '']);
    expect(errors).toMatch(new RegExp(`^${why}`));
    expect(errors).not.toContain('    at ');
  });

  it('tells its seed, what it finds and how to find it again', async () => {
    const { code, out } = await ended(start('--seed', '7', '--version', '15', '--statements', '2'));
    expect(code).toBe(1);
    expect(out).toContain('fuzz:example: 3 sessions, seed 7, PostgreSQL 15\n');
    const same = '--version 15 --statements 2\n';
    expect(out).toContain(
      `it is wrong\nAgain: npm run fuzz:example -- --seed 8 --sessions 1 ${same}{"version":15,"seed":7,"statements":2,"findings":1`,
    );
    expect(out).toMatch(new RegExp(`Again: npm run fuzz:example -- --seed 7 --sessions 3 ${same}$`));
    expect(leftBy(out)).toEqual([false, false]);
  });

  it('ends with 0 where it finds nothing, and with 1 where it fails itself', async () => {
    expect((await ended(start())).code).toBe(0);
    const { code, out } = await ended(start('--ends', 'badly'));
    expect([code, out]).toEqual([1, expect.stringMatching(/the test itself: Error: it has failed/)]);
    expect(leftBy(out)).toEqual([false, false]);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('leaves nothing where it is stopped by %s', async (signal, wanted) => {
    const child = start('--ends', 'never');
    const ending = ended(child);
    await new Promise<void>((resolve) => {
      child.stdout!.on('data', (chunk: Buffer) => chunk.includes('"pid"') && resolve());
    });
    child.kill(signal);
    const { code, out } = await ending;
    expect(code).toBe(wanted);
    expect(out).toContain(`${signal}: it is stopped. Again: npm run fuzz:example -- --seed 1`);
    expect(leftBy(out)).toEqual([false, false]);
  });
});

describe('the commands of package.json', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    scripts: Record<string, string>;
  };
  const called = Object.entries(scripts).flatMap(([name, line]) => {
    const file = /^node (test\/(?!bench\/)\S+)$/.exec(line)?.[1];
    return file === undefined ? [] : [[name, file] as const];
  });

  it.each(called)('%s is called as it says itself', (name, file) => {
    expect(readFileSync(file, 'utf8')).toContain(`script: '${name}',`);
  });

  it('are all of those that test at length', () => {
    const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.startsWith('support/'))
      .filter((file) => readFileSync(join('test', file), 'utf8').includes('await atLength('));
    expect(files.map((file) => `test/${file}`).sort()).toEqual(called.map(([, file]) => file).sort());
  });
});
