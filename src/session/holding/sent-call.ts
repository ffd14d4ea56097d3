import { isUtf8 } from 'node:buffer';
import { ownCopy } from '../../base/own-copy.ts';
import { decodeFrontendMessage } from '../../wire/frontend-message.ts';
import type { FunctionCall } from '../../wire/function-call.ts';
import { Frontend } from '../../wire/message-type.ts';
import type { Sent } from './sent.ts';

/** Of a FunctionCall: which function, and with what. */
export type SentCall = Pick<FunctionCall, 'functionOid' | 'argumentFormats' | 'arguments'>;

/** What is shown of an argument, and how many of them. */
const ARGUMENT_CHARS_MAX = 200;
const ARGUMENTS_MAX = 20;

/** Of the body `bytes[start, end)`; a malformed one runs nothing, and has nothing to be known again by. */
export function sentCall(bytes: Buffer, start: number, end: number): Sent | null {
  const body = ownCopy(bytes.subarray(start, end));
  const call = decodeFrontendMessage(Frontend.FunctionCall, body, 'latin1');
  if (call.kind !== 'function-call') return null;
  // No text of a statement begins with a NUL.
  return { text: `\0${body.toString('latin1')}`, facts: null, types: '', bound: null, call };
}

/** What approvers are shown; `name` is the function's, or null where there is none of that OID. */
export function shownCall({ functionOid, argumentFormats, ...call }: SentCall, name: string | null): string {
  const head = `-- FunctionCall, without SQL text, of the function with the OID ${functionOid}`;
  const values = call.arguments.slice(0, ARGUMENTS_MAX).map((value, i) => {
    const format = argumentFormats[argumentFormats.length === 1 ? 0 : i] ?? 0;
    return value === null ? 'NULL' : shownArgument(value, format);
  });
  const left = call.arguments.length - values.length;
  const all = [...values, ...(left > 0 ? [`… ${left} more`] : [])].join(', ');
  return `${head}\n${name ?? 'which there is not'}\nwith (${all})`;
}

function shownArgument(value: Buffer, format: number): string {
  const isText = format === 0 && isUtf8(value);
  const text = isText ? value.toString('utf8').replaceAll("'", "''") : `\\x${value.toString('hex')}`;
  const cut = text.length > ARGUMENT_CHARS_MAX ? `${text.slice(0, ARGUMENT_CHARS_MAX)}…` : text;
  return `'${cut}'`;
}
