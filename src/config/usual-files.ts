import { existsSync } from 'node:fs';

/** Where files are looked for that nobody names. */
export const USUAL_FILES = {
  tokens: 'config/tokens.yaml',
  policy: 'config/policy.yaml',
  webhooks: 'config/webhooks.yaml',
} as const;

/**
 * Tells the file to read again: the one that was there at the start, or else the one that has been put at the usual
 * place since. Once there was one it stays the one, so that a file that is gone is an error and not the end of its rules.
 */
export function followUsual(kind: keyof typeof USUAL_FILES, atStart: string | null): () => string | null {
  let file = atStart;
  return () => {
    file ??= existsSync(USUAL_FILES[kind]) ? USUAL_FILES[kind] : null;
    return file;
  };
}
