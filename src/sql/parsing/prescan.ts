import { LIMITS } from '../../base/limits.ts';
import { type Token, tokens } from './lexer.ts';

/** Words that make the tree one level deeper, because they join what came before to what follows. */
const CHAINING: ReadonlySet<string> = new Set(
  'not union except intersect join is isnull notnull collate case at'.split(' '),
);
/** Words after which a chain of operators starts anew; chains of `and` and `or` are flat in the tree. */
const BREAKING: ReadonlySet<string> = new Set('and or from where select when then else set on'.split(' '));

/** Why a text is too deep for the parser, or null. */
export function tooDeep(text: string): string | null {
  let depth = 0;
  let chain = 0;
  for (const token of tokens(text)) {
    const c = text.charCodeAt(token.start);
    if (token.kind === 'comment') {
      if (nestedComments(text, token) > LIMITS.parseDepth) return 'comments are nested too deep';
    } else if (token.kind === 'word') {
      const word = token.end - token.start < 10 ? text.slice(token.start, token.end).toLowerCase() : '';
      if (BREAKING.has(word)) chain = 0;
      else if (CHAINING.has(word)) chain++;
    } else if (token.kind !== 'symbol') continue;
    else if (c === 40 || c === 91) depth++;
    else if (c === 41 || c === 93) depth--;
    else if (c === 44 || c === 59) chain = 0;
    else if (c !== 46) chain++;
    if (depth > LIMITS.parseDepth) return 'brackets are nested too deep';
    if (chain > LIMITS.parseChain) return 'a chain of operators is too long';
  }
  return null;
}

function nestedComments(text: string, comment: Token): number {
  if (text[comment.start] !== '/') return 0;
  let count = 0;
  for (let at = comment.start; at >= 0 && at < comment.end; at = text.indexOf('/*', at + 2)) count++;
  return count;
}
