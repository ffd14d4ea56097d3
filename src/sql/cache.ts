import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { LIMITS } from '../base/limits.ts';
import { type AnalysisOutcome, analyzeBytes, asTemplate } from './analyze.ts';
import { type Analysis, DEFAULT_TEXT_FACTS, type TextFacts } from './effects.ts';
import { ParsePool, type ParsePoolOptions } from './parse-pool.ts';
import { Parser } from './parser.ts';
import { canonicalText, mayShare, readShape, shape } from './template.ts';

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

interface Entry {
  /** Null where the shape's literals matter, so that each text of it is looked up by itself. */
  readonly analysis: Analysis | null;
  readonly bytes: number;
  /** Whether it was used since the last round of eviction looked at it. */
  used: boolean;
}

/** What a key begins with: the facts in the upper bits, then whether the rest is a shape, a text or a hash. */
const SHAPE_KEY = 0;
const TEXT_KEY = 1;
const HASH_KEY = 2;
/** An entry's own cost beside its text and analysis. */
const ENTRY_BYTES = 200;

/**
 * Analyses of texts, kept by the text's shape where the literals in it say nothing, and by the very text
 * otherwise. What was not used for a whole round of eviction goes first.
 */
export class AnalysisCache {
  readonly #entries = new Map<string, Entry>();
  readonly #pending = new Map<string, Promise<Analysis>>();
  readonly #bytesMax: number;
  readonly #pool: ParsePool;
  readonly #scratch = Buffer.allocUnsafeSlow(LIMITS.parseInlineBytes + 1);
  #parser: Parser | null = null;
  readonly #starting: Promise<void>;
  #bytes = 0;
  #hits = 0;
  #misses = 0;

  constructor(options: AnalysisCacheOptions = {}) {
    this.#bytesMax = options.bytesMax ?? LIMITS.analysisCacheBytes;
    this.#pool = new ParsePool(options);
    this.#starting = Parser.create().then((parser) => {
      this.#parser = parser;
    });
  }

  get counts(): AnalysisCacheCounts {
    return { hits: this.#hits, misses: this.#misses, entries: this.#entries.size, bytes: this.#bytes };
  }

  /** How often the parser broke and was built anew. */
  get parserReplaced(): number {
    return this.#parser?.replaced ?? 0;
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

  /** The text is `bytes[start..end)`, without the terminating NUL. The bytes are not kept. */
  analyze(bytes: Buffer, start: number, end: number, facts: TextFacts): Analysis | Promise<Analysis> {
    if (end - start > LIMITS.parseInlineBytes) return this.#large(bytes.subarray(start, end), facts);
    const shapeKey = this.#shapeKey(bytes, start, end, facts);
    if (shapeKey === null) return this.#exact(bytes, start, end, facts);
    const entry = this.#entries.get(shapeKey);
    if (entry === undefined) return this.#learnShape(shapeKey, bytes, start, end, facts);
    entry.used = true;
    if (entry.analysis === null) return this.#exact(bytes, start, end, facts);
    this.#hits++;
    return entry.analysis;
  }

  #shapeKey(bytes: Buffer, start: number, end: number, facts: TextFacts): string | null {
    readShape(bytes, start, end, this.#scratch, 1);
    if (shape.length < 0) return null;
    if (shape.highBytes && !readableHighBytes(bytes, start, end, facts)) return null;
    this.#scratch[0] = prefix(facts, SHAPE_KEY);
    return this.#scratch.latin1Slice(0, shape.length + 1);
  }

  #exact(bytes: Buffer, start: number, end: number, facts: TextFacts): Analysis | Promise<Analysis> {
    this.#scratch[0] = prefix(facts, TEXT_KEY);
    bytes.copy(this.#scratch, 1, start, end);
    const key = this.#scratch.latin1Slice(0, end - start + 1);
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#learn(key, bytes, start, end, facts);
    entry.used = true;
    this.#hits++;
    return entry.analysis!;
  }

  #learn(
    key: string,
    bytes: Buffer,
    start: number,
    end: number,
    facts: TextFacts,
  ): Analysis | Promise<Analysis> {
    const parser = this.#readyParser();
    if (parser === null) return this.#later(bytes.subarray(start, end), facts);
    this.#misses++;
    const { analysis } = analyzeBytes(parser, bytes.subarray(start, end), facts);
    if (analysis.status !== 'failed') this.#keep(key, analysis);
    return analysis;
  }

  #learnShape(
    key: string,
    bytes: Buffer,
    start: number,
    end: number,
    facts: TextFacts,
  ): Analysis | Promise<Analysis> {
    const parser = this.#readyParser();
    if (parser === null) return this.#later(bytes.subarray(start, end), facts);
    this.#misses++;
    // The key holds the shape, so the scratch may be used again.
    const { replaced } = shape;
    const outcome = analyzeBytes(parser, bytes.subarray(start, end), facts);
    if (outcome.analysis.status === 'failed') return outcome.analysis;
    if (!replaced) {
      this.#keep(key, outcome.analysis);
      return outcome.analysis;
    }
    const shared = parser.ready ? sharedAnalysis(parser, key, outcome, facts) : null;
    this.#keep(key, shared);
    if (shared === null) this.#keep(textKey(bytes, start, end, facts), outcome.analysis);
    return shared ?? outcome.analysis;
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
    const key = String.fromCharCode(prefix(facts, HASH_KEY)) + hash;
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      entry.used = true;
      this.#hits++;
      return entry.analysis!;
    }
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    this.#misses++;
    const reading = this.#pool.analyze(text, facts).then((analysis) => {
      this.#pending.delete(key);
      if (analysis.status !== 'failed') this.#keep(key, analysis);
      return analysis;
    });
    this.#pending.set(key, reading);
    return reading;
  }

  #keep(key: string, analysis: Analysis | null): void {
    const bytes = key.length + ENTRY_BYTES + (analysis === null ? 0 : JSON.stringify(analysis).length * 2);
    const old = this.#entries.get(key);
    if (old !== undefined) this.#bytes -= old.bytes;
    if (bytes > this.#bytesMax) {
      this.#entries.delete(key);
      return;
    }
    this.#entries.set(key, { analysis, bytes, used: false });
    this.#bytes += bytes;
    if (this.#bytes > this.#bytesMax) this.#evict();
  }

  /** A map keeps the order of insertion: what was used goes to its end once, what was not goes. */
  #evict(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#entries.delete(key);
      if (entry.used) {
        entry.used = false;
        this.#entries.set(key, entry);
      } else this.#bytes -= entry.bytes;
    }
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
  const shapeBytes = Buffer.from(key.slice(1), 'latin1');
  if (!mayShare(shapeBytes)) return null;
  const canonical = analyzeBytes(parser, canonicalText(shapeBytes), facts);
  if (!canonical.literalInsensitive) return null;
  const shared = asTemplate(canonical.analysis);
  return JSON.stringify(shared) === JSON.stringify(asTemplate(outcome.analysis)) ? shared : null;
}

function prefix(facts: TextFacts, kind: number): number {
  const encoding = facts.encoding === 'utf8' ? 0 : facts.encoding === 'latin1' ? 1 : 2;
  return (encoding << 4) | (facts.standardConformingStrings ? 8 : 0) | (facts.catalogFirst ? 4 : 0) | kind;
}

function textKey(bytes: Buffer, start: number, end: number, facts: TextFacts): string {
  return String.fromCharCode(prefix(facts, TEXT_KEY)) + bytes.latin1Slice(start, end);
}

function readableHighBytes(bytes: Buffer, start: number, end: number, facts: TextFacts): boolean {
  if (facts.encoding === 'latin1') return true;
  return facts.encoding === 'utf8' && isUtf8(bytes.subarray(start, end));
}
