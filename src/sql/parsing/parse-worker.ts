import { parentPort } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { analyzeBytes } from '../analyze.ts';
import type { Analysis, TextFacts } from '../effects.ts';
import { Parser } from './parser.ts';
import { NOT_UNDERSTOOD, type PlpgsqlReading, readPlpgsql } from './plpgsql.ts';

/** Analyses large texts, and functions, away from the main thread, which may end this one when it takes too long. */

export type ParseRequest = { readonly id: number; readonly bytes: Uint8Array } & (
  | { readonly facts: TextFacts }
  /** A CREATE FUNCTION in PL/pgSQL, and its body. */
  | { readonly body: string }
);

export interface ParseReply {
  readonly id: number;
  readonly answer: Analysis | PlpgsqlReading;
}

const port = parentPort;
assert(port !== null, 'this file runs as a worker');
const parser = await Parser.create();

port.on('message', (request: ParseRequest) => {
  void answer(request);
});

async function answer(request: ParseRequest): Promise<void> {
  await parser.whenReady();
  const answer =
    'body' in request
      ? readFunction(request.bytes, request.body)
      : analyzeBytes(parser, request.bytes, request.facts).analysis;
  port?.postMessage({ id: request.id, answer } satisfies ParseReply);
}

function readFunction(bytes: Uint8Array, body: string): PlpgsqlReading {
  const outcome = parser.parsePlpgsql(readableRows(bytes));
  return outcome.kind === 'tree' ? readPlpgsql(outcome.tree, body) : { kind: 'unread', why: NOT_UNDERSTOOD };
}

/** The parser knows of no table's rows, and takes a type that it does not know for one that may have any fields. */
function readableRows(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  return Buffer.from(text.replace(/%\s*rowtype\b/gi, ' '), 'utf8');
}
