#!/usr/bin/env node
import './thread-pool.ts';
import { processIo } from './io.ts';
import { run } from './program.ts';
import { stopOnSignals } from './stop-signals.ts';

process.exitCode = await run(process.argv.slice(2), processIo(stopOnSignals()));
