import { LIMITS } from '../base/limits.ts';
import type { Certainty } from './certainty.ts';

/** `*` stands for any run of characters, `?` for any one; a backslash takes the next one as it is. */
export interface Glob {
  readonly source: string;
  /** True for `*`, which every name matches. */
  readonly any: boolean;
  /** Sure where the name matches as written, possible where only its capitals differ. */
  match(name: string): Certainty;
}

type Piece =
  | { readonly kind: 'star' }
  | { readonly kind: 'one' }
  | { readonly kind: 'char'; readonly char: string };

/** What is wrong with a glob, or null. */
export function globProblem(source: string): string | null {
  if (source === '') return 'an empty pattern matches nothing';
  if (source.length > LIMITS.globChars) return `a pattern has at most ${LIMITS.globChars} characters`;
  if (source !== source.trim()) return 'a pattern neither starts nor ends with a space';
  if (/\p{Cc}/u.test(source)) return 'a pattern has no control characters';
  if (/(?:^|[^\\])(?:\\\\)*\\$/.test(source)) return 'a backslash at the end has nothing to escape';
  return null;
}

export function compileGlob(source: string): Glob {
  const exact = pieces(source);
  const folded = pieces(source.toLowerCase());
  const any = exact.every((piece) => piece.kind === 'star');
  return {
    source,
    any,
    match: (name) => {
      if (any || matches(exact, name)) return 'sure';
      return matches(folded, name.toLowerCase()) ? 'possible' : 'no';
    },
  };
}

function pieces(source: string): readonly Piece[] {
  const found: Piece[] = [];
  for (let i = 0; i < source.length; i++) {
    const char = source[i]!;
    if (char === '*') {
      if (found.at(-1)?.kind !== 'star') found.push({ kind: 'star' });
    } else if (char === '?') found.push({ kind: 'one' });
    else if (char === '\\') found.push({ kind: 'char', char: source[++i]! });
    else found.push({ kind: 'char', char });
  }
  return found;
}

/**
 * Goes back to the last star only, so that no name costs more than its length times the pattern's. A regular
 * expression would hand the client the key to its exponential corners.
 */
function matches(pattern: readonly Piece[], name: string): boolean {
  let p = 0;
  let n = 0;
  let starAt = -1;
  let resumeAt = 0;
  while (n < name.length) {
    const piece = pattern[p];
    if (piece?.kind === 'star') {
      starAt = p++;
      resumeAt = n;
    } else if (piece !== undefined && (piece.kind === 'one' || piece.char === name[n])) {
      p++;
      n++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      n = ++resumeAt;
    } else return false;
  }
  while (pattern[p]?.kind === 'star') p++;
  return p === pattern.length;
}
