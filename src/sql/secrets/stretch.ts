/** What of a text is a secret. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
  /** Whether it may as well be code, of which whoever reads the text has to be told. */
  readonly mayBeCode: boolean;
  /** It is surely stored, and not run. */
  readonly isStored?: boolean;
}

/** What a text has of them. */
export interface Found {
  readonly stretches: readonly Stretch[];
  /** Whether what follows the text, where more is put together with it, is a secret. */
  readonly leads: boolean;
}

const SECRET_CHARS_MAX = 128;
const MAY_BE_CODE = /[\s;'"()\\]|--|\/\*/;

/** What hardly any secret has, and no statement can do without. */
export function looksLikeCode(text: string): boolean {
  return text.length > SECRET_CHARS_MAX || MAY_BE_CODE.test(text);
}
