import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../scripts/sql.ts', import.meta.url));
const USAGE = 'usage: npm run -s sql -- [--url postgres://…] "SELECT …"\n';

it.each([
  [['--help'], 0, USAGE, ''],
  [[], 2, '', USAGE],
  [['--urll', 'x'], 2, '', expect.stringMatching(/^Unknown option '--urll'.*\n/)],
])('npm run sql -- %j says how it is used, and no more', (args, status, stdout, stderr) => {
  const ended = spawnSync(process.execPath, [SCRIPT, ...args], { encoding: 'utf8' });
  expect(ended).toMatchObject({ status, stdout, stderr });
  expect(ended.stderr).not.toContain('    at ');
});
