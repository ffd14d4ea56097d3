import { LIMITS } from '../../base/limits.ts';
import { type Token, tokens } from '../parsing/lexer.ts';
import { connectionSecrets, conninfoSecrets, leadsIntoUri } from './connection-secrets.ts';
import { jsonSecrets } from './json-secrets.ts';
import { type LiteralContent, literalContent } from './literal-content.ts';
import { isSecretName, NAMES_SECRETS } from './secret-names.ts';
import { type SecretPlace, SecretPlaces } from './secret-places.ts';
import { type Found, looksLikeCode, type Stretch } from './stretch.ts';

const NOTHING: Found = { stretches: [], leads: false };

/** Nothing is masked in a text that has none of these, so nothing else is done with it. */
export const SUSPECT = /passw|passphrase|pwd|postgres(?:ql)?:\/\/|:\/\/[^/\s]*@|\bidentified\b|\bsecret/i;
/** Words after which a literal is a secret, whatever stands between but comments and an equals sign. */
const SECRET_WORDS: ReadonlySet<string> = new Set([
  'password',
  'passwd',
  'pwd',
  'sslpassword',
  'secret',
  'passphrase',
]);
/** Of variables in code only. */
const SHORT_SECRET_WORDS: ReadonlySet<string> = new Set(['pw', 'pass']);

/** Of what a literal hands to a concatenation or format(), so that a text of the same shape is never taken for it. */
const TELLS_SHAPE = /['$=@]|:\/\/|^\s*(?:alter|create)\s+(?:role|user|group)\b/i;
const SQL_BEGINS =
  /^\s*(?:(?:alter|analyze|begin|call|comment|copy|create|declare|delete|do|drop|execute|explain|grant|if|import|insert|merge|perform|prepare|refresh|reindex|return|revoke|security|select|set|truncate|update|values|with)\b|\(|--|\/\*|<<)/i;

/**
 * The secrets of a text of SQL, in order. A stretch is the content of a literal, or lies inside of one or of a comment,
 * as the lexer has them, and never reaches beyond its end.
 */
export function secretStretches(text: string): readonly Stretch[] {
  const places = new SecretPlaces();
  const { stretches } = inCode(text, 0, places);
  return places.onlyStores ? stretches : stretches.map((one) => ({ ...one, isStored: false }));
}

function inCode(text: string, depth: number, places = new SecretPlaces()): Found {
  const stretches: Stretch[] = [];
  const place = new Place();
  let secret = false;
  let leads = false;
  for (const token of tokens(text)) {
    if (token.kind === 'comment') {
      addAll(stretches, inComment(text, token, depth));
      continue;
    }
    if (token.kind === 'literal') {
      const isCode = place.isCode;
      const held = places.place;
      if ((held === 'value' || held === 'part') && !isCode && !leads && token.closed) {
        stretches.push({ ...wholeContent(text, token), isStored: held === 'value' && depth === 0 });
      } else if ((secret || leads) && !isCode) {
        const whole = wholeContent(text, token);
        // What only may be what the word is meant for, a secret or not.
        stretches.push({ ...whole, mayBeCode: leads || whole.mayBeCode });
        if (!token.closed) leads = true;
      } else {
        const inside = inLiteral(text, token, isCode, depth);
        addAll(stretches, merged([...inside.stretches, ...inJson(text, token, isCode, held, depth)]));

        if (inside.leads && (depth > 0 || TELLS_SHAPE.test(text.slice(token.contentStart, token.contentEnd))))
          leads = true;
      }
      secret ||= place.isSetting && isSecretName(literalContent(text, token).text);
      place.pass('');
      places.pass(token, '');
      continue;
    }
    const word = text.slice(token.start, token.end).toLowerCase();
    if (word === ';') leads = false;
    // A place for format() to put a secret in.
    else if (word === '%' && secret && depth > 0) leads = true;
    secret = leadsToSecret(token, word, secret) || (depth > 0 && place.givesSecret(text, token));
    place.pass(token.kind === 'quoted-name' ? '"' : word);
    places.pass(token, word);
  }
  return { stretches, leads: leads || secret };
}

/** What a literal is for by the words in front of it. */
class Place {
  #words: readonly [string, string, string] = ['', '', ''];
  #creates = false;
  #makesCode = false;
  #namesSecret = false;

  /** The name of a setting. */
  get isSetting(): boolean {
    return this.#words[1] === 'set_config' && this.#words[2] === '(';
  }

  /** Code for sure: that of DO, or of a function that is made. */

  get isCode(): boolean {
    const [before, last, word] = this.#words;
    return word === 'do' || (before === 'do' && last === 'language') || (this.#makesCode && word === 'as');
  }

  /** Whether a variable that is named as a secret is given what comes next, whatever its type: in code alone. */
  givesSecret(text: string, { kind, start, end }: Token): boolean {
    if (!this.#namesSecret) return false;
    return kind === 'word'
      ? /^default$/i.test(text.slice(start, end))
      : text[start] === ':' && text[start + 1] === '=';
  }

  pass(word: string): void {
    if (word === ';') {
      this.#creates = false;
      this.#makesCode = false;
      this.#namesSecret = false;
    } else if (isSecretWord(word) || SHORT_SECRET_WORDS.has(word)) this.#namesSecret = true;
    else if (word === 'create') this.#creates = true;
    else if (word === 'function' || word === 'procedure') this.#makesCode ||= this.#creates;
    this.#words = [this.#words[1], this.#words[2], word];
  }
}

/** An equals sign or the like keeps what came before it. */
function leadsToSecret({ kind }: Token, word: string, before: boolean): boolean {
  if (kind === 'word') return isSecretWord(word) || (before && /^(to|as|by|is|in|i?like)$/.test(word));
  if (kind === 'quoted-name') return isSecretWord(word.slice(1, -1));
  return before && /^[=:<>!~(,]$/.test(word);
}

/** `user_password` is one as well; `token` and its like are in a text for many reasons. */
function isSecretWord(word: string): boolean {
  return SECRET_WORDS.has(word) || /_(?:password|passwd|pwd|passphrase)$/.test(word);
}

/** What is commented out is SQL as well. */
function inComment(text: string, { start, end, closed }: Token, depth: number): readonly Stretch[] {
  const comment = text.slice(start, end);
  if (!SUSPECT.test(comment)) return [];
  const connections = shifted(connectionSecrets(comment, 'comment'), start);
  if (depth >= LIMITS.secretDepth) return merged(connections);
  const inner = comment.slice(2, closed && comment.startsWith('/*') ? -2 : undefined);
  return merged([...connections, ...shifted(inCode(inner, depth + 1).stretches, start + 2)]);
}

function wholeContent(text: string, { contentStart: start, contentEnd: end }: Token): Stretch {
  return { start, end, mayBeCode: looksLikeCode(text.slice(start, end)) };
}

/** A literal may itself be SQL with a secret in it, or a connection string. */
function inLiteral(text: string, token: Token, isCode: boolean, depth: number): Found {
  const content = literalContent(text, token);
  if (!SUSPECT.test(content.text) && !NAMES_SECRETS.test(content.text)) return NOTHING;
  if (depth >= LIMITS.secretDepth)
    return { stretches: [{ ...wholeContent(text, token), mayBeCode: true }], leads: false };
  if (isCode) return { stretches: mapped(inCode(content.text, depth + 1).stretches, content), leads: false };
  const isSql = SQL_BEGINS.test(content.text);
  const { stretches, leads } =
    isSql && depth > 0 ? inCode(content.text, depth + 1) : inData(content.text, isSql, depth + 1);
  return { stretches: mapped(stretches, content), leads };
}

/** A value of a column that is JSON is no more than that. */
function inJson(
  text: string,
  token: Token,
  isCode: boolean,
  held: SecretPlace,
  depth: number,
): readonly Stretch[] {
  if (isCode || !NAMES_SECRETS.test(text.slice(token.contentStart, token.contentEnd))) return [];
  const content = literalContent(text, token);
  if (!/^\s*[{[]/.test(content.text)) return [];
  const isStored = held === 'plain-value' && depth === 0;
  return mapped(jsonSecrets(content.text), content).map((one) => ({ ...one, isStored }));
}

function inData(text: string, isSql: boolean, depth: number): Found {
  const conninfo = conninfoSecrets(text);
  if (conninfo !== null) return conninfo;
  const { stretches, leads } = inCode(text, depth);
  const others = connectionSecrets(text, isSql ? 'sql' : 'data');
  return { stretches: merged([...stretches, ...others]), leads: leads || leadsIntoUri(text) };
}

function mapped(stretches: readonly Stretch[], { placeOf }: LiteralContent): readonly Stretch[] {
  return stretches.map((one) => ({ ...one, start: placeOf(one.start), end: placeOf(one.end) }));
}

function shifted(stretches: readonly Stretch[], by: number): readonly Stretch[] {
  return stretches.map((one) => ({ ...one, start: one.start + by, end: one.end + by }));
}

function addAll(to: Stretch[], stretches: readonly Stretch[]): void {
  for (const one of stretches) to.push(one);
}

/** In order, and each place in one of them. */
function merged(stretches: readonly Stretch[]): readonly Stretch[] {
  const out: Stretch[] = [];
  for (const one of [...stretches].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = out.at(-1);
    if (last === undefined || one.start >= last.end) out.push(one);
    else {
      const end = Math.max(last.end, one.end);
      const isStored = last.isStored === true && one.isStored === true;
      const mayBeCode = last.mayBeCode || one.mayBeCode;
      out[out.length - 1] = { start: last.start, end, mayBeCode, isStored };
    }
  }
  return out;
}
