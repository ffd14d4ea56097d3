import { Command, Option } from 'commander';
import { LOG_LEVELS } from '../base/log.ts';
import { packageVersion } from '../package-version.ts';
import { addApprovals } from './approvals.ts';
import { addAudit } from './audit.ts';
import { addCheck } from './check.ts';
import type { AddCommand } from './command.ts';
import { addCompletion } from './completion.ts';
import { addDemo } from './demo.ts';
import { EXIT } from './exit-code.ts';
import { addExplain } from './explain.ts';
import type { Io } from './io.ts';
import { addPause } from './pause.ts';
import { addPolicy } from './policy.ts';
import { addQuarantine } from './quarantine.ts';
import { reportError } from './report-error.ts';
import { addServe } from './serve.ts';
import { addSnapshots } from './snapshots.ts';
import { addStatus } from './status.ts';
import { addToken } from './token.ts';
import { addTrash } from './trash.ts';
import { addUndo } from './undo.ts';

const COMMANDS: readonly AddCommand[] = [
  addServe,
  addCheck,
  addExplain,
  addApprovals,
  addSnapshots,
  addUndo,
  addTrash,
  addAudit,
  addPolicy,
  addStatus,
  addPause,
  addQuarantine,
  addToken,
  addDemo,
  addCompletion,
];

const AFTER_HELP = `
Exit codes: 0 done, 1 failed, 2 usage or configuration not understood,
            3 explain --exit-code, and the decision is not to allow,
            4 undo: rows have changed since, and nothing was done,
            5 policy test: a case is not decided as it says.`;

/** Runs one command line and gives the code to exit with. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let code: number = EXIT.ok;
  const program = new Command('holdfast')
    .description('A PostgreSQL gateway that snapshots, holds or blocks destructive SQL before it runs.')
    .version(packageVersion(), '--version', 'print the version')
    .addOption(new Option('--log-level <level>', 'how much is logged').choices([...LOG_LEVELS]))
    .addHelpText('after', AFTER_HELP)
    .showHelpAfterError('(holdfast --help lists what there is)')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) });
  const finish = (exit: number): void => {
    code = exit;
  };
  for (const add of COMMANDS) add(program, io, finish);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    return reportError(error, io, program.opts()['logLevel'] === 'debug');
  }
}
