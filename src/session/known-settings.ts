import { DEFAULT_TEXT_FACTS, type TextFacts } from '../sql/effects.ts';
import { isCatalogFirst } from '../sql/search-path.ts';

/**
 * How the server reads text and looks names up, as far as that is known. What a statement changes is told only with
 * the ReadyForQuery that follows it, so that text is uncertain from the moment such a statement is sent until
 * nothing is under way. What was changed in a transaction goes back with it, at an error as well, so that until its
 * end text is certain only while nothing is under way.
 *
 * A search_path is distrusted at once, and trusted again only outside a transaction: where the server has told it
 * (PostgreSQL 18), or where a plain SET of it was the last that can have touched it. What could not be trusted at the
 * start never is, because RESET leads back there.
 */
export class KnownSettings {
  facts: TextFacts = DEFAULT_TEXT_FACTS;
  private encoding: TextFacts['encoding'];
  private standardStrings: boolean;
  private uncertain = false;
  private undoable = false;
  private toldSinceReady = false;
  private pathTrusted: boolean;
  private readonly pathTrustedAtStart: boolean;
  /** Whether the path that the server told last can be trusted; null where it does not tell. */
  private pathTold: boolean | null;
  /** How many statements that touch the path have been sent. */
  private pathTouches = 0;

  constructor(parameters: ReadonlyMap<string, string>, pathAtStart: string | null) {
    this.encoding = readableEncoding(parameters.get('client_encoding') ?? 'UTF8');
    this.standardStrings = isOn(parameters.get('standard_conforming_strings'));
    const told = parameters.get('search_path') ?? null;
    this.pathTold = told === null ? null : isCatalogFirst(told);
    this.pathTrusted = (told ?? pathAtStart) === null || isCatalogFirst((told ?? pathAtStart)!);
    this.pathTrustedAtStart = this.pathTrusted;
    this.read(false);
  }

  /** Whether statements under way may change how text is read. */
  get isUncertain(): boolean {
    return this.uncertain;
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
    this.read(false);
  }

  /** A statement is sent that sets the path; null for one that the text does not tell. */
  pathSet(path: string | null): void {
    this.pathTouches++;
    if (path === null || !isCatalogFirst(path)) this.pathTrusted = false;
    this.read(this.undoable);
  }

  /** A statement is sent that gives the path the value back that it had at the start. */
  pathReset(): void {
    this.pathTouches++;
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
    if (isLast) this.uncertain = false;
    const before = this.pathTrusted;
    if (status === 'I' && this.pathTrustedAtStart) {
      // What has been told is how it stands only if nothing is under way that changes it.
      if (isLast && this.pathTold === true) this.pathTrusted = true;
      if (trustedPath === this.pathTouches && this.pathTold !== false) this.pathTrusted = true;
    }
    this.read(this.undoable && !isLast);
    return before !== this.pathTrusted;
  }

  private read(mayGoBack: boolean): void {
    const certain = !this.uncertain && !mayGoBack;
    const encoding = certain ? this.encoding : 'ascii-only';
    const standardConformingStrings = certain && this.standardStrings;
    const catalogFirst = this.pathTrusted;
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
