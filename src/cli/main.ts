#!/usr/bin/env node
import { processIo } from './io.ts';
import { run } from './program.ts';

const stop = new AbortController();
// A reader that has seen enough, such as `head`, ends the command as it ends any other.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  stop.abort();
});
process.once('SIGINT', () => stop.abort());
process.once('SIGTERM', () => stop.abort());

process.exitCode = await run(process.argv.slice(2), processIo(stop.signal));
