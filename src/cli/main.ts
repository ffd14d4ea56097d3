#!/usr/bin/env node
import './thread-pool.ts';
import { processIo } from './io.ts';
import { run } from './program.ts';
import { stopOnSignals } from './stop-signals.ts';

const signals = stopOnSignals();
// A reader that has seen enough, such as `head`, ends the command as it ends any other.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  signals.stopNow();
});

process.exitCode = await run(process.argv.slice(2), processIo(signals));
