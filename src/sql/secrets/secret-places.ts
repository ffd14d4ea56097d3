import type { Token } from '../parsing/lexer.ts';
import { isSecretName } from './secret-names.ts';

/**
 * What the literal or parameter that comes next is: a value that a column with the name of a secret is given as it
 * is; a part of what such a column is given, or an argument that is a secret; another value of a column; or anything else.
 */
export type SecretPlace = 'value' | 'part' | 'plain-value' | 'none';

const FIRST = [true];
const SECOND = [false, true];
const SECOND_AND_THIRD = [false, true, true];
/** Never written to. */
const NO_PLACES: boolean[] = [];

/** Functions with arguments that are secrets, and which these are. */
const SECRET_ARGUMENTS: ReadonlyMap<string, readonly boolean[]> = new Map<string, readonly boolean[]>([
  ['crypt', FIRST],
  ['hmac', SECOND],
  ['encrypt', SECOND],
  ['encrypt_iv', SECOND],
  ['decrypt', SECOND],
  ['decrypt_iv', SECOND],
  ['pgp_sym_encrypt', SECOND],
  ['pgp_sym_encrypt_bytea', SECOND],
  ['pgp_sym_decrypt', SECOND],
  ['pgp_sym_decrypt_bytea', SECOND],
  ['pgp_pub_decrypt', SECOND_AND_THIRD],
  ['pgp_pub_decrypt_bytea', SECOND_AND_THIRD],
]);

type Phase = 'none' | 'target' | 'source' | 'values' | 'select' | 'set';

/** Words behind which nothing more is assigned. */
const ENDS: ReadonlySet<string> = new Set(
  'from where returning on when group having order limit offset fetch union intersect except window'.split(
    ' ',
  ),
);

/** What an open parenthesis has in it; the text itself is one. */
class Frame {
  readonly kind: 'text' | 'names' | 'row' | 'call';
  /** Which places between commas are secrets. */
  readonly secrets: readonly boolean[];
  /** All of it is a part of what a secret is given. */
  readonly inSecret: boolean;
  place = 0;
  phase: Phase = 'none';
  /** Of an INSERT, or of an item of SET: which of the columns are secrets. */
  columns: boolean[] = NO_PLACES;
  /** CASE expressions that are open. */
  cases = 0;
  isUpdate = false;
  /** Of an item of SET: whether its equals sign has come, and whether it names several columns. */
  isAssigned = false;
  isMultiple = false;

  constructor(kind: Frame['kind'], secrets: readonly boolean[], inSecret: boolean) {
    this.kind = kind;
    this.secrets = secrets;
    this.inSecret = inSecret;
  }

  get holds(): SecretPlace {
    if (this.inSecret) return 'part';
    if (this.kind === 'row') return this.secrets[this.place] === true ? 'value' : 'plain-value';
    if (this.kind === 'call' && this.secrets[this.place] === true) return 'part';
    if (this.phase === 'select') return this.columns[this.place] === true ? 'value' : 'plain-value';
    if (this.phase === 'set' && this.isAssigned && !this.isMultiple)
      return this.columns[0] === true ? 'value' : 'plain-value';
    return 'none';
  }

  /** Only what is a secret is noted. */
  name(place: number, word: string): void {
    if (!isSecretName(word)) return;
    if (this.columns === NO_PLACES) this.columns = [];
    this.columns[place] = true;
  }

  beginItem(): void {
    this.columns = NO_PLACES;
    this.isAssigned = false;
    this.isMultiple = false;
  }
}

/**
 * Follows the tokens of a text to where columns are given values: by the lists of an INSERT, by SET, and by the
 * arguments of functions. It says of a literal only what it is; what is no literal is never a secret.
 */
export class SecretPlaces {
  #frames: Frame[] = [new Frame('text', NO_PLACES, false)];
  #last = '';
  /** It is, or may be, used for more than to be stored. */
  #usedFurther = false;
  #ended = false;
  #returning = false;
  #callsBehindReturning = false;

  get place(): SecretPlace {
    return this.#top.holds;
  }

  /** Whether values that are given to columns are surely no more than that: nothing behind them could run them. */
  get onlyStores(): boolean {
    return !this.#usedFurther && !this.#callsBehindReturning;
  }

  pass({ kind }: Token, word: string): void {
    if (this.#ended) this.#usedFurther = true;
    if (kind === 'word' || kind === 'quoted-name')
      this.#word(kind === 'word' ? word : word.slice(1, -1), kind);
    else if (word === '(') this.#open();
    else if (word === ')') this.#close();
    else if (word === ',') this.#comma();
    else if (word === '=') this.#top.isAssigned = true;
    else if (word === ';') {
      this.#frames = [new Frame('text', NO_PLACES, false)];
      this.#ended = true;
    }
    this.#last = kind === 'quoted-name' ? '"' : word;
  }

  get #top(): Frame {
    return this.#frames.at(-1)!;
  }

  #word(word: string, kind: 'word' | 'quoted-name'): void {
    const frame = this.#top;
    if (frame.kind === 'names') return frame.name(frame.place, word);
    if (frame.phase === 'set' && !frame.isAssigned) frame.name(0, word);
    if (kind === 'quoted-name') return;
    if (word === 'returning') this.#returning = true;
    // What conflicts may be given to a function as it is.
    else if (word === 'excluded') this.#usedFurther = true;
    if (word === 'into' && this.#last === 'insert') this.#begin('target');
    else if (word === 'update') frame.isUpdate = true;
    else if (word === 'set' && frame.isUpdate) this.#begin('set');
    else if (frame.phase === 'target' || frame.phase === 'source') {
      if (word === 'values') frame.phase = 'values';
      else if (word === 'select') frame.phase = 'select';
    } else if (word === 'case') frame.cases++;
    else if (word === 'end') frame.cases--;
    else if (frame.cases <= 0 && this.#last !== 'distinct' && ENDS.has(word)) frame.phase = 'none';
  }

  #begin(phase: Phase): void {
    const frame = this.#top;
    frame.phase = phase;
    frame.place = 0;
    frame.beginItem();
  }

  #open(): void {
    const frame = this.#top;
    this.#callsBehindReturning ||= this.#returning;
    if (frame.phase === 'none' && this.#last === 'insert') this.#begin('target');
    this.#frames.push(this.#inside(frame));
  }

  #inside(frame: Frame): Frame {
    const { phase } = frame;
    if (phase === 'target' || (phase === 'set' && !frame.isAssigned))
      return new Frame('names', NO_PLACES, false);
    if (phase === 'values') return new Frame('row', frame.columns, false);
    if (phase === 'set' && frame.isMultiple) return new Frame('row', frame.columns, false);
    const holds = frame.holds;
    if (holds === 'value' || holds === 'part') return new Frame('call', NO_PLACES, true);
    return new Frame('call', SECRET_ARGUMENTS.get(this.#last) ?? NO_PLACES, false);
  }

  #close(): void {
    if (this.#frames.length === 1) return;
    const closed = this.#frames.pop()!;
    const frame = this.#top;
    if (closed.kind !== 'names') return;
    frame.columns = closed.columns;
    if (frame.phase === 'target') frame.phase = 'source';
    else frame.isMultiple = true;
  }

  #comma(): void {
    const frame = this.#top;
    frame.place++;
    if (frame.phase === 'set') frame.beginItem();
  }
}
