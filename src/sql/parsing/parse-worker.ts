import { parentPort } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { analyzeBytes } from '../analyze.ts';
import type { Analysis, TextFacts } from '../effects.ts';
import { type SentSlice, sliceOne, toSend } from '../slices/slice-one.ts';
import { Parser } from './parser.ts';
import { NOT_UNDERSTOOD, type PlpgsqlReading, readPlpgsql } from './plpgsql.ts';

/** Analyses large texts, and functions, away from the main thread, which may end this one when it takes too long. */

export type ParseRequest = { readonly id: number; readonly bytes: Uint8Array } & (
  | { readonly facts: TextFacts }
  /** A CREATE FUNCTION in PL/pgSQL, and its body. */
  | { readonly body: string }
  /** One statement of which is asked which rows it changes. */
  | { readonly slices: true }
);

export interface ParseReply {
  readonly id: number;
  readonly answer: Analysis | PlpgsqlReading | SentSlice;
}

const port = parentPort;
assert(port !== null, 'this file runs as a worker');
const parser = await Parser.create();

port.on('message', (request: ParseRequest) => {
  void answer(request);
});

async function answer(request: ParseRequest): Promise<void> {
  await parser.whenReady();
  const answer = answerOf(request);
  port?.postMessage({ id: request.id, answer } satisfies ParseReply);
}

function answerOf(request: ParseRequest): ParseReply['answer'] {
  const { bytes } = request;
  if ('body' in request) return readFunction(bytes, request.body);
  if ('slices' in request)
    return toSend(sliceOne(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), parser));
  return analyzeBytes(parser, bytes, request.facts).analysis;
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
