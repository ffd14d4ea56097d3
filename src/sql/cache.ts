import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { LIMITS } from '../base/limits.ts';
import { type AnalysisOutcome, analyzeBytes, asTemplate } from './analyze.ts';
import { type Analysis, DEFAULT_TEXT_FACTS, type TextFacts } from './effects.ts';
import { type DropReading, readDrop } from './named/drop-target.ts';
import { readIfExists, type Sought } from './named/if-exists.ts';
import { ParsePool, type ParsePoolOptions } from './parsing/parse-pool.ts';
import { Parser } from './parsing/parser.ts';
import type { PlpgsqlReading } from './parsing/plpgsql.ts';
import { BoundedStore } from './recent/bounded-store.ts';
import { type RecentShape, RecentShapes } from './recent/recent-shapes.ts';
import { RecentSlices } from './recent/recent-slices.ts';
import { type Reading, RecentTexts } from './recent/recent-texts.ts';
import type { ShapePieces } from './recent/shape-pieces.ts';
import { canonicalText, mayShare, readShape, shape } from './recent/template.ts';
import { inexact, type WriteSlice } from './slices/slice.ts';
import { parsing, sliceOne, TOO_LONG } from './slices/slice-one.ts';

export interface AnalysisCacheOptions extends ParsePoolOptions {
  readonly bytesMax?: number;
}

/** What the cache has done so far. */
export interface AnalysisCacheCounts {
  readonly hits: number;
  readonly misses: number;
  readonly entries: number;
  readonly bytes: number;
}

/** Shelves of the store: one of each kind for each way to read a text. */
const SHAPES = 0;
const TEXTS = 1;
const HASHES = 2;
/** What an entry costs beside its text and analysis. */
const ENTRY_BYTES = 200;

/** Longer texts come with parameters more often than not, so that their shape is read only if they are new. */
const TEXT_FIRST_BYTES = 160;

/** Says of a shape that its literals matter, so that each text of it is looked up by itself. */
const NOT_SHARED = Symbol('not shared');

/**
 * Analyses of texts, kept by the text's shape where the literals in it say nothing, and by the very text
 * otherwise. What was not used for a whole round of eviction goes first.
 */
export class AnalysisCache {
  readonly #store: BoundedStore<Analysis | typeof NOT_SHARED>;
  /** The shape of what was asked for last, where it was found among the recent ones. */
  atHand: ShapePieces | null = null;
  readonly #recent = new RecentTexts();
  readonly #shapes = new RecentShapes();
  readonly #slices = new RecentSlices();
  readonly #pending = new Map<string, Promise<Analysis>>();
  readonly #pool: ParsePool;
  readonly #scratch = Buffer.allocUnsafeSlow(LIMITS.parseInlineBytes);
  #parser: Parser | null = null;
  readonly #starting: Promise<void>;
  #hits = 0;
  #misses = 0;

  constructor(options: AnalysisCacheOptions = {}) {
    this.#store = new BoundedStore(options.bytesMax ?? LIMITS.analysisCacheBytes);
    this.#pool = new ParsePool(options);
    this.#starting = Parser.create().then((parser) => {
      this.#parser = parser;
    });
  }

  get counts(): AnalysisCacheCounts {
    return { hits: this.#hits, misses: this.#misses, entries: this.#store.size, bytes: this.#store.bytes };
  }

  /** Resolves when texts are analysed at once; before that `analyze` gives promises. */
  async ready(): Promise<void> {
    await this.#starting;
    await this.#parser?.whenReady();
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  async analyzeText(text: string, facts: TextFacts = DEFAULT_TEXT_FACTS): Promise<Analysis> {
    const bytes = Buffer.from(text, facts.encoding === 'latin1' ? 'latin1' : 'utf8');
    return this.analyze(bytes, 0, bytes.length, facts);
  }

  /** What `read` says of `bytes[start..end)` where it was here lately, which has no NUL in it then; else null. */
  recentText(bytes: Buffer, start: number, end: number, facts: TextFacts): Reading | null {
    const known = this.#recent.find(bytes, start, end, shelf(facts, TEXTS));
    if (known !== null) this.#hits++;
    return known;
  }

  /** As `analyze`, with the text as a string; of a text that was here lately both are at hand. */
  read(bytes: Buffer, start: number, end: number, facts: TextFacts): Reading | Promise<Analysis> {
    const on = shelf(facts, TEXTS);
    const known = this.#recent.find(bytes, start, end, on);
    if (known !== null) {
      this.#hits++;
      return known;
    }
    const analysis = this.analyze(bytes, start, end, facts);
    if (analysis instanceof Promise) return analysis;
    const reading = { analysis, text: bytes.utf8Slice(start, end) };
    this.#recent.missed(bytes, start, end, on, reading);
    return reading;
  }

  /** Which rows the one statement of a text changes, which is asked where its analysis says that it changes some. */
  async slice(utf8: Buffer): Promise<WriteSlice> {
    await this.ready();
    const parser = this.#readyParser();
    if (parser === null || utf8.length > LIMITS.parsePartsBytes) return inexact(TOO_LONG);
    if (utf8.length > LIMITS.parseInlineBytes) return await this.#pool.slice(utf8);
    return this.#slices.of(utf8, () => sliceOne(utf8, parser));
  }

  /** What a DROP names, which is asked where its analysis says that it is one. */
  async readDrop(utf8: Buffer): Promise<DropReading> {
    await this.ready();
    const parser = this.#readyParser();
    if (parser === null || utf8.length > LIMITS.parseInlineBytes) return { kind: 'no drop' };
    const parse = parsing(parser);
    const raw = parse(utf8.toString('utf8'))?.stmts?.[0];
    return raw === undefined ? { kind: 'no drop' } : readDrop(raw, { utf8, parse });
  }

  /** What a statement with IF EXISTS names; null where that is not looked for. */
  async readIfExists(utf8: Buffer): Promise<readonly Sought[] | null> {
    await this.ready();
    const parser = this.#readyParser();
    if (parser === null || utf8.length > LIMITS.parseInlineBytes) return null;
    const raw = parsing(parser)(utf8.toString('utf8'))?.stmts?.[0];
    return raw === undefined ? null : readIfExists(raw);
  }

  /** Reads a CREATE FUNCTION in PL/pgSQL, always where that can be stopped. */
  async readPlpgsql(definition: string, body: string): Promise<PlpgsqlReading> {
    return await this.#pool.readPlpgsql(definition, body);
  }

  /**
   * What texts of the shape of `bytes[start..end)` say, where one was here lately, which has no NUL in it then; else null.
   * Whoever goes by that says so.
   */
  recent(bytes: Buffer, start: number, end: number, facts: TextFacts): RecentShape | null {
    return this.#shapes.find(bytes, start, end, shelf(facts, SHAPES));
  }

  usedRecent(): void {
    this.#hits++;
  }

  /** The text is `bytes[start..end)`, without the terminating NUL. The bytes are not kept. */
  analyze(bytes: Buffer, start: number, end: number, facts: TextFacts): Analysis | Promise<Analysis> {
    this.atHand = null;
    if (end - start > LIMITS.parseInlineBytes) return this.#large(bytes.subarray(start, end), facts);
    const on = shelf(facts, SHAPES);
    const recent = this.#shapes.find(bytes, start, end, on);
    if (recent !== null) {
      this.atHand = recent.shape;
      this.#hits++;
      return recent.analysis;
    }
    if (end - start > TEXT_FIRST_BYTES) {
      const found = this.#store.get(shelf(facts, TEXTS), bytes.latin1Slice(start, end));
      if (found !== undefined) {
        this.#hits++;
        return found as Analysis;
      }
    }
    readShape(bytes, start, end, this.#scratch);
    if (!shape.known) return this.#exact(bytes, start, end, facts);
    const { length, highBytes } = shape;
    if (length === 0) {
      const exact = this.#exact(bytes, start, end, facts);
      if (!highBytes && !(exact instanceof Promise) && exact.status !== 'failed')
        this.#shapes.missed(bytes, start, end, on, exact);
      return exact;
    }
    if (highBytes && !readableHighBytes(bytes, start, end, facts))
      return this.#exact(bytes, start, end, facts);
    const key = this.#scratch.latin1Slice(0, length);
    const found = this.#store.get(on, key);
    if (found === undefined) return this.#learnShape(key, bytes, start, end, facts);
    if (found === NOT_SHARED) return this.#exact(bytes, start, end, facts);
    this.#hits++;
    if (!highBytes) this.#shapes.missed(this.#scratch, 0, length, on, found);
    return found;
  }

  #exact(bytes: Buffer, start: number, end: number, facts: TextFacts): Analysis | Promise<Analysis> {
    const key = bytes.latin1Slice(start, end);
    const found = this.#store.get(shelf(facts, TEXTS), key);
    if (found === undefined) return this.#learn(key, bytes.subarray(start, end), facts);
    this.#hits++;
    return found as Analysis;
  }

  #learn(key: string, text: Buffer, facts: TextFacts): Analysis | Promise<Analysis> {
    const parser = this.#readyParser();
    if (parser === null) return this.#later(text, facts);
    this.#misses++;
    const { analysis } = analyzeBytes(parser, text, facts);
    this.#keep(shelf(facts, TEXTS), key, analysis);
    return analysis;
  }

  #learnShape(
    key: string,
    bytes: Buffer,
    start: number,
    end: number,
    facts: TextFacts,
  ): Analysis | Promise<Analysis> {
    const text = bytes.subarray(start, end);
    const parser = this.#readyParser();
    if (parser === null) return this.#later(text, facts);
    this.#misses++;
    const outcome = analyzeBytes(parser, text, facts);
    if (outcome.analysis.status === 'failed') return outcome.analysis;
    const shared = parser.ready ? sharedAnalysis(parser, key, outcome, facts) : null;
    if (shared !== null) {
      this.#keep(shelf(facts, SHAPES), key, shared);
      return shared;
    }
    this.#store.set(shelf(facts, SHAPES), key, NOT_SHARED, key.length + ENTRY_BYTES);
    this.#keep(shelf(facts, TEXTS), text.latin1Slice(), outcome.analysis);
    return outcome.analysis;
  }

  #readyParser(): Parser | null {
    return this.#parser?.ready === true ? this.#parser : null;
  }

  async #later(text: Buffer, facts: TextFacts): Promise<Analysis> {
    const copy = Buffer.from(text);
    await this.ready();
    return this.analyze(copy, 0, copy.length, facts);
  }

  /** Large texts go by their hash; those who ask for the same one while it is read share the answer. */
  #large(text: Buffer, facts: TextFacts): Analysis | Promise<Analysis> {
    const hash = createHash('sha256').update(text).digest('base64');
    const found = this.#store.get(shelf(facts, HASHES), hash);
    if (found !== undefined) {
      this.#hits++;
      return found as Analysis;
    }
    const key = `${shelf(facts, HASHES)} ${hash}`;
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    this.#misses++;
    const reading = this.#pool.analyze(text, facts).then((analysis) => {
      this.#pending.delete(key);
      this.#keep(shelf(facts, HASHES), hash, analysis);
      return analysis;
    });
    this.#pending.set(key, reading);
    return reading;
  }

  /** A failure is not remembered: the next time the parser may be well. */
  #keep(on: number, key: string, analysis: Analysis): void {
    if (analysis.status === 'failed') return;
    this.#store.set(on, key, analysis, key.length + ENTRY_BYTES + JSON.stringify(analysis).length * 2);
  }
}

/**
 * The analysis of the shape itself, made from a text with made-up literals, so that it holds none of a
 * client's. It must say what the client's text says, or the shape is not shared.
 */
function sharedAnalysis(
  parser: Parser,
  key: string,
  outcome: AnalysisOutcome,
  facts: TextFacts,
): Analysis | null {
  if (!outcome.literalInsensitive) return null;
  const shapeBytes = Buffer.from(key, 'latin1');
  if (!mayShare(shapeBytes)) return null;
  const canonical = analyzeBytes(parser, canonicalText(shapeBytes), facts);
  if (!canonical.literalInsensitive) return null;
  const shared = asTemplate(canonical.analysis);
  return JSON.stringify(shared) === JSON.stringify(asTemplate(outcome.analysis)) ? shared : null;
}

function shelf(facts: TextFacts, kind: number): number {
  const encoding = facts.encoding === 'utf8' ? 0 : facts.encoding === 'latin1' ? 1 : 2;
  return (encoding << 4) | (facts.standardConformingStrings ? 8 : 0) | (facts.catalogFirst ? 4 : 0) | kind;
}

function readableHighBytes(bytes: Buffer, start: number, end: number, facts: TextFacts): boolean {
  if (facts.encoding === 'latin1') return true;
  return facts.encoding === 'utf8' && isUtf8(bytes.subarray(start, end));
}
