import { LIMITS } from '../base/limits.ts';
import { tokens } from './parsing/lexer.ts';
import { connectionSecrets } from './secrets/connection-secrets.ts';
import { MASK } from './secrets/redact.ts';

/**
 * The pairs of a context comment, as sqlcommenter writes them: a comment at the end or the start of the text
 * that is nothing but `key='value'`, with values percent-encoded. Null where there is none. Comments are found
 * by lexing, so that a literal that looks like one is none.
 */
export function contextOf(text: string): Readonly<Record<string, string>> | null {
  if (!text.includes('/*')) return null;
  const all = [...tokens(text)].filter((token) => text[token.start] !== ';');
  for (const token of [all.at(-1), all[0]]) {
    if (token?.kind !== 'comment' || !token.closed || text[token.start] !== '/') continue;
    const pairs = parsePairs(text.slice(token.start + 2, token.end - 2));
    if (pairs !== null) return pairs;
  }
  return null;
}

const PAIR = /^\s*([A-Za-z0-9_.%-]+)\s*=\s*'((?:[^'\\]|\\.)*)'\s*(?:,|$)/;

function parsePairs(comment: string): Readonly<Record<string, string>> | null {
  const pairs = Object.create(null) as Record<string, string>;
  let rest = comment;
  let count = 0;
  while (rest.trim() !== '') {
    const match = PAIR.exec(rest);
    if (match === null || ++count > LIMITS.contextPairsMax) return null;
    const [whole, key, value] = match;
    rest = rest.slice(whole.length);
    if (key!.length > LIMITS.contextBytes || value!.length > LIMITS.contextBytes) return null;
    const name = decodePercent(key!);
    pairs[name] = withoutSecret(name, decodePercent(value!.replace(/\\(.)/g, '$1')));
  }
  return count === 0 ? null : Object.freeze(pairs);
}

/** Pairs stand in the audit beside the text, in which they are masked. */
function withoutSecret(name: string, value: string): string {
  return connectionSecrets(`${name}=${value}`, 'comment').length > 0 ? MASK : value;
}

function decodePercent(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
