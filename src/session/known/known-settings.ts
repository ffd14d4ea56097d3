import { DEFAULT_TEXT_FACTS, type TextFacts } from '../../sql/effects.ts';
import { isCatalogFirst } from '../../sql/facts/search-path.ts';

/**
 * How the server reads text and looks names up, as far as that is known. What a statement changes is told only with
 * the ReadyForQuery that follows it, so that text is uncertain from the moment such a statement is sent until
 * nothing is under way. What was changed in a transaction goes back with it, at an error as well, so that until its
 * end text is certain only while nothing is under way.
 *
 * A search_path is distrusted at once, and trusted again where the server has told it (PostgreSQL 18) or, outside a
 * transaction, where a plain SET of it was the last that can have touched it.
 *
 * Code that the gateway has not read may have changed any of it, so that all is in doubt from the moment it is sent
 * until the server tells, or is asked (see doubts.ts). What a server does not tell is in doubt from the start.
 */
export class KnownSettings {
  facts: TextFacts = DEFAULT_TEXT_FACTS;
  private encoding: TextFacts['encoding'];
  private standardStrings: boolean;
  private uncertain = false;
  private undoable = false;
  private toldSinceReady = false;
  private pathTrusted: boolean;
  /** Whether RESET leads to a path that can be trusted; null where that is not known. */
  private trustedAtStart: boolean | null;
  /** Whether the path that the server told last can be trusted; null where it does not tell. */
  private pathTold: boolean | null;
  /** What the server has told last, where it tells. */
  private toldPath: string | null;
  /** As it was when nothing was under way that may change it. */
  private path: string | null;
  /** How many statements that touch the path have been sent. */
  private pathTouches = 0;
  private textDoubt = false;
  private pathDoubt: boolean;
  /** The end of the transaction may put back what was told or asked in it. */
  mayBePutBack = false;
  /** Something that may change any of it was sent since nothing was under way outside a transaction. */
  private touchedSinceIdle = false;
  /** How text is read inside a segment, as asked; it is what has been told again with the next ReadyForQuery. */
  private asked: Pick<TextFacts, 'encoding' | 'standardConformingStrings'> | null = null;

  constructor(parameters: ReadonlyMap<string, string>, pathAtStart: string | null) {
    this.encoding = readableEncoding(parameters.get('client_encoding') ?? 'UTF8');
    this.standardStrings = isOn(parameters.get('standard_conforming_strings'));
    const told = parameters.get('search_path') ?? null;
    this.pathTold = told === null ? null : isCatalogFirst(told);
    this.toldPath = told;
    this.path = told;
    this.pathTrusted = (told ?? pathAtStart) === null || isCatalogFirst((told ?? pathAtStart)!);
    this.trustedAtStart = (told ?? pathAtStart) === null ? null : this.pathTrusted;
    this.pathDoubt = this.trustedAtStart === null;
    this.read(false);
  }

  /** Whether statements under way may change how text is read. */
  get isUncertain(): boolean {
    return this.uncertain || this.textDoubt;
  }

  /** Whether the server could tell more. */
  get inDoubt(): boolean {
    return this.textDoubt || this.pathDoubt;
  }

  /** The path, where it is known; names are looked up in it as long as it is the same. */
  get knownPath(): string | null {
    return this.pathDoubt ? null : this.path;
  }

  /** The facts as they are if there is nothing to the doubts. */
  get hoped(): TextFacts {
    return {
      encoding: this.uncertain ? 'ascii-only' : this.encoding,
      standardConformingStrings: !this.uncertain && this.standardStrings,
      catalogFirst: this.pathTrusted,
    };
  }

  /** The server has told a setting's value. */
  told(name: string, value: string): void {
    switch (name) {
      case 'client_encoding':
        this.encoding = readableEncoding(value);
        this.toldSinceReady = true;
        break;
      case 'standard_conforming_strings':
        this.standardStrings = isOn(value);
        this.toldSinceReady = true;
        break;
      case 'search_path':
        this.pathTold = isCatalogFirst(value);
        this.toldPath = value;
        if (!this.pathTold) this.pathTrusted = false;
        break;
      default:
        return;
    }
    this.read(this.undoable);
  }

  /** A statement is sent that may change how text is read. */
  textTouched(): void {
    this.uncertain = true;
    this.touchedSinceIdle = true;
    this.read(false);
  }

  /** A statement is sent that sets the path; null for one that the text does not tell. */
  pathSet(path: string | null): void {
    this.pathTouched();
    this.path = null;
    if (path === null) {
      this.pathDoubt = true;
      this.mayBePutBack = true;
    } else if (!isCatalogFirst(path)) this.pathTrusted = false;
    this.read(this.undoable);
  }

  private pathTouched(): void {
    this.pathTouches++;
    this.touchedSinceIdle = true;
  }

  /** Code is sent that the gateway has not read. */
  codeRuns(): void {
    this.pathTouched();
    this.mayBePutBack = true;
    this.doubt();
  }

  /** What ends a transaction or takes a part of it back is sent. */
  transactionEnds(): void {
    if (this.mayBePutBack) this.doubt();
  }

  private doubt(): void {
    this.textDoubt = true;
    this.pathDoubt = true;
    this.asked = null;
    this.read(this.undoable);
  }

  /**
   * The server was asked, with nothing else under way but messages of the open segment, if there is one. Returns
   * whether names may mean something else from here on.
   */
  answered(
    encoding: string,
    standardStrings: string,
    path: string,
    place: 'idle' | 'transaction' | 'segment',
  ): boolean {
    const before = this.facts.catalogFirst;
    this.textDoubt = false;
    this.pathDoubt = false;
    this.path = path;
    this.pathTrusted = isCatalogFirst(path);
    // What was there before the transaction stays, however that ends.
    this.mayBePutBack = place !== 'idle' && this.touchedSinceIdle;
    if (place === 'segment') {
      this.asked = {
        encoding: readableEncoding(encoding),
        standardConformingStrings: isOn(standardStrings),
      };
    }
    if (this.pathTouches === 0) this.trustedAtStart ??= this.pathTrusted;
    this.read(false);
    return before !== this.facts.catalogFirst;
  }

  /** A statement is sent that gives the path the value back that it had at the start. */
  pathReset(): void {
    this.pathTouched();
    this.path = null;
    if (!this.resetsToTrusted) {
      this.pathDoubt = true;
      this.mayBePutBack = true;
    }
    this.read(this.undoable);
  }

  /** Whether RESET leads to a path that is known and can be trusted. */
  get resetsToTrusted(): boolean {
    return this.trustedAtStart === true;
  }

  /** What a statement that sets a path to be trusted has to show, once it has taken effect, to have it trusted. */
  get pathToken(): number {
    return this.pathTouches;
  }

  /** Before a message is decided: whether anything is under way that could put settings back. */
  beforeMessage(underWay: boolean): void {
    if (this.undoable) this.read(underWay);
  }

  /**
   * ReadyForQuery. `trustedPath` is the token of a plain SET that has taken effect with it, if it was one. Returns
   * whether names may mean something else from here on.
   */
  ready(status: 'I' | 'T' | 'E', isLast: boolean, trustedPath: number): boolean {
    if (status === 'I') this.undoable = false;
    else if (this.toldSinceReady) this.undoable = true;
    this.toldSinceReady = false;
    this.asked = null;
    if (status === 'I' && this.mayBePutBack) {
      this.mayBePutBack = false;
      this.textDoubt = true;
      this.pathDoubt = true;
    }
    if (isLast) {
      if (status === 'I') this.touchedSinceIdle = false;
      this.uncertain = false;
      this.textDoubt = false;
      if (this.pathTold !== null) {
        this.pathDoubt = false;
        this.path = this.toldPath;
      }
    }
    const before = this.facts.catalogFirst;
    // What has been told is how it stands only if nothing is under way that changes it.
    if (isLast && this.pathTold === true) {
      if (status !== 'I' && !this.pathTrusted) this.mayBePutBack = true;
      this.pathTrusted = true;
    }
    if (status === 'I' && trustedPath === this.pathTouches && this.pathTold !== false) {
      this.pathTrusted = true;
      this.pathDoubt = false;
    }
    this.read(this.undoable && !isLast);
    return before !== this.facts.catalogFirst;
  }

  private read(mayGoBack: boolean): void {
    const { asked } = this;
    const certain = !this.uncertain && !this.textDoubt && (asked !== null || !mayGoBack);
    const encoding = !certain ? 'ascii-only' : (asked?.encoding ?? this.encoding);
    const standardConformingStrings = certain && (asked?.standardConformingStrings ?? this.standardStrings);
    const catalogFirst = this.pathTrusted && !this.pathDoubt;
    const { facts } = this;
    if (
      facts.encoding === encoding &&
      facts.standardConformingStrings === standardConformingStrings &&
      facts.catalogFirst === catalogFirst
    ) {
      return;
    }
    this.facts = Object.freeze({ encoding, standardConformingStrings, catalogFirst });
  }
}

function isOn(value: string | undefined): boolean {
  return value === undefined || value === 'on';
}

function readableEncoding(name: string): TextFacts['encoding'] {
  switch (name.toUpperCase().replace(/[^A-Z0-9]/g, '')) {
    case 'UTF8':
    case 'UNICODE':
      return 'utf8';
    case 'LATIN1':
    case 'ISO88591':
      return 'latin1';
    default:
      return 'ascii-only';
  }
}
