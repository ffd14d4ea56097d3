/** Whether a column, a key of JSON or the like is named as what holds a secret. */
export function isSecretName(name: string): boolean {
  return NAME.test(name);
}

const NAME =
  /(?:passw(?:or)?d|passphrase|pwd|secret|token|(?:api|private|access|encryption)[_-]?key|credentials?)(?:[_-]?(?:hash|digest|enc|encrypted|value|text|plain))?$/i;

/** A text without any of these has no such name, nor a function that is given a secret. */
export const NAMES_SECRETS =
  /passw|passphrase|pwd|secret|token|(?:api|private|access|encryption)[_-]?key|credential|crypt|hmac/i;
