import { LIMITS } from '../base/limits.ts';
import { connectionSecrets, conninfoSecrets } from './connection-secrets.ts';
import { type Token, tokens } from './lexer.ts';
import { type LiteralContent, literalContent } from './literal-content.ts';
import { looksLikeCode, type Stretch } from './stretch.ts';

interface Found {
  readonly stretches: readonly Stretch[];
  /** Whether what follows the text, where more is put together with it, is a secret. */
  readonly leads: boolean;
}

const NOTHING: Found = { stretches: [], leads: false };

/** Nothing is masked in a text that has none of these, so nothing else is done with it. */
export const SUSPECT = /passw|passphrase|pwd|:\/\/[^/\s]*@|\bidentified\b|\bsecret/i;
/** Words after which a literal is a secret, whatever stands between but comments and an equals sign. */
const SECRET_WORDS: ReadonlySet<string> = new Set([
  'password',
  'passwd',
  'pwd',
  'sslpassword',
  'secret',
  'passphrase',
]);

/** Of what a literal hands to a concatenation or format(), so that a text of the same shape is never taken for it. */
const TELLS_SHAPE = /['$=@]/;
const SQL_BEGINS =
  /^\s*(?:(?:alter|analyze|begin|call|comment|copy|create|declare|delete|do|drop|execute|explain|grant|if|import|insert|merge|perform|prepare|refresh|reindex|return|revoke|security|select|set|truncate|update|values|with)\b|\(|--|\/\*|<<)/i;

/**
 * The secrets of a text of SQL, in order. A stretch is the content of a literal, or lies inside of one or of a comment,
 * as the lexer has them, and never reaches beyond its end.
 */
export function secretStretches(text: string): readonly Stretch[] {
  return inCode(text, 0).stretches;
}

function inCode(text: string, depth: number): Found {
  const stretches: Stretch[] = [];
  const place = new Place();
  let secret = false;
  let leads = false;
  for (const token of tokens(text)) {
    if (token.kind === 'comment') {
      const comment = text.slice(token.start, token.end);
      if (SUSPECT.test(comment))
        addAll(stretches, shifted(merged(connectionSecrets(comment, 'comment')), token.start));
      continue;
    }
    if (token.kind === 'literal') {
      const isCode = place.isCode;
      if ((secret || leads) && !isCode) {
        const whole = wholeContent(text, token);
        // What only may be what the word is meant for, a secret or not.
        stretches.push({ ...whole, mayBeCode: leads || whole.mayBeCode });
        if (!token.closed) leads = true;
      } else {
        const inside = inLiteral(text, token, isCode, depth);
        addAll(stretches, inside.stretches);
        if (inside.leads && (depth > 0 || TELLS_SHAPE.test(text.slice(token.contentStart, token.contentEnd))))
          leads = true;
      }
      place.pass('');
      continue;
    }
    const word = text.slice(token.start, token.end).toLowerCase();
    if (word === ';') leads = false;
    // A place for format() to put a secret in.
    else if (word === '%' && secret && depth > 0) leads = true;
    secret = leadsToSecret(token, word, secret);
    place.pass(token.kind === 'quoted-name' ? '"' : word);
  }
  return { stretches, leads: leads || secret };
}

/** Where a literal is code for sure: that of DO, or of a function that is made. */
class Place {
  #words: readonly [string, string, string] = ['', '', ''];
  #creates = false;
  #makesCode = false;

  get isCode(): boolean {
    const [before, last, word] = this.#words;
    return word === 'do' || (before === 'do' && last === 'language') || (this.#makesCode && word === 'as');
  }

  pass(word: string): void {
    if (word === ';') {
      this.#creates = false;
      this.#makesCode = false;
    } else if (word === 'create') this.#creates = true;
    else if (word === 'function' || word === 'procedure') this.#makesCode ||= this.#creates;
    this.#words = [this.#words[1], this.#words[2], word];
  }
}

/** An equals sign or the like keeps what came before it. */
function leadsToSecret({ kind }: Token, word: string, before: boolean): boolean {
  if (kind === 'word') return SECRET_WORDS.has(word) || (before && /^(to|as|by|is)$/.test(word));
  if (kind === 'quoted-name') return SECRET_WORDS.has(word.slice(1, -1));
  return before && /^[=:>(,]$/.test(word);
}

function wholeContent(text: string, { contentStart: start, contentEnd: end }: Token): Stretch {
  return { start, end, mayBeCode: looksLikeCode(text.slice(start, end)) };
}

/** A literal may itself be SQL with a secret in it, or a connection string. */
function inLiteral(text: string, token: Token, isCode: boolean, depth: number): Found {
  const content = literalContent(text, token);
  if (!SUSPECT.test(content.text)) return NOTHING;
  if (depth >= LIMITS.secretDepth)
    return { stretches: [{ ...wholeContent(text, token), mayBeCode: true }], leads: false };
  if (isCode) return { stretches: mapped(inCode(content.text, depth + 1).stretches, content), leads: false };
  const isSql = SQL_BEGINS.test(content.text);
  const { stretches, leads } =
    isSql && depth > 0 ? inCode(content.text, depth + 1) : inData(content.text, isSql, depth + 1);
  return { stretches: mapped(stretches, content), leads };
}

function inData(text: string, isSql: boolean, depth: number): Found {
  const conninfo = conninfoSecrets(text);
  if (conninfo !== null) return { stretches: conninfo, leads: false };
  const { stretches, leads } = inCode(text, depth);
  const others = connectionSecrets(text, isSql ? 'sql' : 'data');
  return { stretches: merged([...stretches, ...others]), leads };
}

function mapped(stretches: readonly Stretch[], { placeOf }: LiteralContent): readonly Stretch[] {
  return stretches.map(({ start, end, mayBeCode }) => ({
    start: placeOf(start),
    end: placeOf(end),
    mayBeCode,
  }));
}

function shifted(stretches: readonly Stretch[], by: number): readonly Stretch[] {
  return stretches.map(({ start, end, mayBeCode }) => ({ start: start + by, end: end + by, mayBeCode }));
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
      out[out.length - 1] = { start: last.start, end, mayBeCode: last.mayBeCode || one.mayBeCode };
    }
  }
  return out;
}
