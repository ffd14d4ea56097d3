import { parentPort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { analyzeBytes } from './analyze.ts';
import type { Analysis, TextFacts } from './effects.ts';
import { Parser } from './parser.ts';

/** Analyses large texts away from the main thread, which may end this one when it takes too long. */

export interface ParseRequest {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly facts: TextFacts;
}

export interface ParseReply {
  readonly id: number;
  readonly analysis: Analysis;
}

const port = parentPort;
assert(port !== null, 'this file runs as a worker');
const parser = await Parser.create();

port.on('message', (request: ParseRequest) => {
  void answer(request);
});

async function answer(request: ParseRequest): Promise<void> {
  await parser.whenReady();
  const { analysis } = analyzeBytes(parser, request.bytes, request.facts);
  port?.postMessage({ id: request.id, analysis } satisfies ParseReply);
}
