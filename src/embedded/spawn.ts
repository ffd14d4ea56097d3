import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { type Account, credentials } from './account.ts';

type Stream = 'pipe' | 'ignore' | number;

export interface ProgramPlan {
  readonly program: string;
  readonly dataDir: string;
  readonly account: Account;
  /** Built around what `-D` is given. */
  readonly args: (dataDir: string) => readonly string[];
  readonly streams: readonly [stdin: Stream, stdout: Stream, stderr: Stream];
  readonly detached: boolean;
}

/**
 * Root may keep its data below a directory that the lent account cannot pass, such as /root. So the child
 * inherits the data directory opened, and a name that leads there without a look at the directories above.
 */
const INHERITED_FD = 3;

export function spawnProgram(plan: ProgramPlan): ChildProcess {
  const inherits = plan.account.kind === 'lent' && process.platform === 'linux';
  const fd = inherits ? openSync(plan.dataDir, 'r') : null;
  const name = fd === null ? plan.dataDir : `/proc/self/fd/${INHERITED_FD}`;
  const stdio: StdioOptions = fd === null ? [...plan.streams] : [...plan.streams, fd];
  try {
    return spawn(plan.program, plan.args(name), {
      ...credentials(plan.account),
      cwd: '/',
      // Nothing of the user's own PGDATA, PGPORT and the like reaches the programs.
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
      stdio,
      detached: plan.detached,
    });
  } finally {
    if (fd !== null) closeSync(fd);
  }
}
