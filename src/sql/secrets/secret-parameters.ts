import { tokens } from '../parsing/lexer.ts';
import { NAMES_SECRETS } from './secret-names.ts';
import { SecretPlaces } from './secret-places.ts';

const NONE: ReadonlySet<number> = new Set();

/** The numbers of the parameters that a text gives to what is named as a secret, counted from 1. */
export function secretParameters(text: string): ReadonlySet<number> {
  if (!NAMES_SECRETS.test(text)) return NONE;
  const found = new Set<number>();
  const places = new SecretPlaces();
  for (const token of tokens(text)) {
    if (token.kind === 'comment') continue;
    const isLiteral = token.kind === 'literal';
    const word = isLiteral ? '' : text.slice(token.start, token.end).toLowerCase();
    const isGiven = places.place === 'value' || places.place === 'part';
    if (isGiven && /^\$\d+$/.test(word)) found.add(Number(word.slice(1)));
    places.pass(token, word);
  }
  return found;
}
