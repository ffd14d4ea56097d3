import { type Token, tokens } from './lexer.ts';

/** What stands for a secret in every log, event and answer. */
export const MASK = '***';

/** Nothing is masked in a text that has none of these, so nothing else is done with it. */
const SUSPECT = /passw|pwd|:\/\/[^/\s]*@|\bidentified\b|\bsecret/i;
/** Words after which a literal is a secret, whatever stands between but comments and an equals sign. */
const SECRET_WORDS: ReadonlySet<string> = new Set([
  'password',
  'passwd',
  'pwd',
  'sslpassword',
  'secret',
  'passphrase',
]);
/** Statements whose every literal is masked where the text is not understood. */
const CREDENTIAL_STATEMENT = /\b(create|alter)\s+(role|user|group|subscription|server|foreign|system)\b/i;

/**
 * The text with passwords and connection strings masked, or null where there is nothing to mask. Where the
 * text did not parse (`understood` false), everything after the first sign of a secret goes.
 */
export function redact(text: string, understood: boolean): string | null {
  if (understood ? !SUSPECT.test(text) : !SUSPECT.test(text) && !CREDENTIAL_STATEMENT.test(text)) return null;
  const out = understood ? maskTokens(text) : maskRest(text);
  return out === text ? null : out;
}

function maskTokens(text: string): string {
  let out = '';
  let done = 0;
  let secret = false;
  for (const token of tokens(text)) {
    if (token.kind === 'comment') {
      const masked = maskConnection(text.slice(token.start, token.end));
      out += text.slice(done, token.start) + masked;
      done = token.end;
      continue;
    }
    if (token.kind === 'literal') {
      out += text.slice(done, token.start) + (secret ? `'${MASK}'` : maskedLiteral(text, token));
      done = token.end;
      continue;
    }
    secret = leadsToSecret(text, token, secret);
  }
  return out + text.slice(done);
}

/** An equals sign or the like keeps what came before it. */
function leadsToSecret(text: string, token: Token, before: boolean): boolean {
  const word = text.slice(token.start, token.end);
  if (token.kind === 'word')
    return SECRET_WORDS.has(word.toLowerCase()) || (before && /^(to|as|by|is)$/i.test(word));
  if (token.kind === 'quoted-name') return SECRET_WORDS.has(word.slice(1, -1).toLowerCase());
  return before && /^[=:>(,]$/.test(word);
}

/** A literal may itself be a connection string, or SQL with a secret in it. */
function maskedLiteral(text: string, token: Token): string {
  const whole = text.slice(token.start, token.end);
  if (!SUSPECT.test(whole)) return whole;
  const content = text.slice(token.contentStart, token.contentEnd);
  const masked = maskConnection(maskNested(content));
  if (masked === content) return whole;
  return text.slice(token.start, token.contentStart) + masked + text.slice(token.contentEnd, token.end);
}

/** SQL inside a literal: a word for a secret and all that may be its value, in whatever quotes. */
function maskNested(content: string): string {
  const at = content.search(/\b(password|passwd)\b\s*(?!\s*=\s*[^'$\s])/i);
  if (at < 0 || !/['$]/.test(content.slice(at))) return content;
  const quote = content.slice(at).search(/['$]|[eEuU]&?'/);
  return quote < 0 ? content : content.slice(0, at + quote) + MASK;
}

const KEYWORD_VALUE =
  /((?:ssl)?pass(?:word|wd|phrase)?|pwd)(\s*=\s*)('(?:[^'\\]|\\.|'')*'?|"[^"]*"?|[^\s;&'"]+)/gi;
const URI_USERINFO = /([a-z][a-z0-9+.-]*:\/\/[^\s:/?#@'"]*:)([^\s'"]*)@/gi;

function maskConnection(content: string): string {
  return content.replace(KEYWORD_VALUE, `$1$2${MASK}`).replace(URI_USERINFO, `$1${MASK}@`);
}

function maskRest(text: string): string {
  const sign = text.search(SUSPECT);
  const statement = text.search(CREDENTIAL_STATEMENT);
  const kept = sign < 0 ? text : text.slice(0, sign + firstWordLength(text.slice(sign)));
  const rest = sign < 0 ? '' : ` ${MASK}`;
  return (statement < 0 ? kept : maskLiterals(kept)) + rest;
}

function firstWordLength(rest: string): number {
  return /^(?:password|passwd|pwd|identified|secret)/i.exec(rest)?.[0].length ?? 0;
}

function maskLiterals(text: string): string {
  const quote = text.search(/['$]/);
  return quote < 0 ? text : `${text.slice(0, quote)}${MASK}`;
}
