import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import type { ParseResult } from '@pgsql/types';
import createModule from 'libpg-query/wasm/libpg-query.js';
import { assert } from '../../base/assert.ts';
import { LIMITS } from '../../base/limits.ts';

/** The parts of libpg-query's WASM module that are used here. */
interface PgQueryModule {
  readonly HEAPU8: Uint8Array;
  readonly HEAPU32: Uint32Array;
  UTF8ToString(pointer: number): string;
  _malloc(bytes: number): number;
  _free(pointer: number): void;
  _wasm_parse_query_raw(text: number): number;
  _wasm_free_parse_result(result: number): void;
  _wasm_parse_plpgsql(text: number): number;
  _wasm_free_string(text: number): void;
}

export type ParseOutcome =
  | { readonly kind: 'tree'; readonly tree: ParseResult }
  /** PostgreSQL's grammar refuses the text. */
  | { readonly kind: 'refused'; readonly message: string; readonly position: number }
  /** The parser itself broke; the instance has been thrown away. */
  | { readonly kind: 'broken'; readonly message: string };

export type PlpgsqlOutcome =
  | { readonly kind: 'tree'; readonly tree: unknown }
  | { readonly kind: 'refused'; readonly message: string };

/**
 * PostgreSQL's own parser. An error that is not one of the grammar's leaves the WASM instance in a state in
 * which it later loops for ever, so the instance is then replaced by the spare, and a new spare is built.
 */
export class Parser {
  #module: PgQueryModule | null;
  #spare: PgQueryModule | null;
  #building: Promise<void> | null = null;
  /** How often an instance had to be thrown away. */
  replaced = 0;

  private constructor(module: PgQueryModule, spare: PgQueryModule) {
    this.#module = module;
    this.#spare = spare;
  }

  static async create(): Promise<Parser> {
    return new Parser(await build(), await build());
  }

  /** False for the few milliseconds in which both instances were thrown away and none is built yet. */
  get ready(): boolean {
    return this.#module !== null;
  }

  async whenReady(): Promise<void> {
    while (this.#module === null) await (this.#building ?? this.#rebuild());
  }

  /** `utf8` is valid UTF-8 without NUL. */
  parse(utf8: Uint8Array): ParseOutcome {
    const module = this.#module;
    assert(module !== null, 'the parser is ready');
    try {
      const outcome = parseWith(module, utf8);
      if (module.HEAPU8.length > LIMITS.parserMemoryBytes) this.#discard();
      return outcome;
    } catch (error) {
      this.#discard();
      return { kind: 'broken', message: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Of a CREATE FUNCTION in PL/pgSQL. It may never come back, and so belongs where it can be stopped. */
  parsePlpgsql(utf8: Uint8Array): PlpgsqlOutcome {
    const module = this.#module;
    assert(module !== null, 'the parser is ready');
    try {
      const said = sayPlpgsql(module, utf8);
      // It says what is wrong where that is not a tree.
      if (!said.startsWith('{')) return { kind: 'refused', message: said };
      return { kind: 'tree', tree: JSON.parse(said) as unknown };
    } catch (error) {
      this.#discard();
      return { kind: 'refused', message: error instanceof Error ? error.message : String(error) };
    }
  }

  #discard(): void {
    this.replaced++;
    this.#module = this.#spare;
    this.#spare = null;
    this.#building ??= this.#rebuild();
  }

  async #rebuild(): Promise<void> {
    try {
      while (this.#module === null || this.#spare === null) {
        const built = await build();
        if (this.#module === null) this.#module = built;
        else this.#spare = built;
      }
    } finally {
      this.#building = null;
    }
  }
}

/** The program of the parser, compiled once a thread; an instance of it is then quickly made. */
let program: Promise<WebAssembly.Module> | null = null;

async function build(): Promise<PgQueryModule> {
  program ??= compile();
  const compiled = await program;
  const module = await createModule({
    instantiateWasm: (imports, done) => done(new WebAssembly.Instance(compiled, imports)),
  });
  return module as PgQueryModule;
}

/**
 * The parser stays in the code of V8's baseline compiler. Its largest function is one of 100 KB, for which the
 * optimizing compiler takes 600 MB and a second of CPU right after the first statement: enough for a gateway with
 * a limit on its memory to be killed. What is parsed takes about a third longer for it (docs/benchmarks.md). V8
 * reads these flags whenever it compiles a function, so that they stay set, for all threads.
 */
const BASELINE_ONLY = ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering'];

async function compile(): Promise<WebAssembly.Module> {
  for (const flag of BASELINE_ONLY) setFlagsFromString(flag);
  const path = createRequire(import.meta.url).resolve('libpg-query/wasm/libpg-query.wasm');
  return await WebAssembly.compile(await readFile(path));
}

/** Ends in a zero byte; to be freed by who has it. */
function textInMemory(module: PgQueryModule, utf8: Uint8Array): number {
  const text = module._malloc(utf8.length + 1);
  assert(text !== 0, 'the parser has memory for the text');
  module.HEAPU8.set(utf8, text);
  module.HEAPU8[text + utf8.length] = 0;
  return text;
}

/** The result structure is three pointers (tree, stderr, error); the error is three texts and two numbers. */
function parseWith(module: PgQueryModule, utf8: Uint8Array): ParseOutcome {
  const text = textInMemory(module, utf8);
  const result = module._wasm_parse_query_raw(text);
  assert(result !== 0, 'the parser has memory for the result');
  const tree = word(module, result);
  const error = word(module, result + 8);
  const outcome = error === 0 ? treeOutcome(module, tree) : refusal(module, error);
  module._free(text);
  module._wasm_free_parse_result(result);
  return outcome;
}

function sayPlpgsql(module: PgQueryModule, utf8: Uint8Array): string {
  const text = textInMemory(module, utf8);
  const result = module._wasm_parse_plpgsql(text);
  assert(result !== 0, 'the parser has memory for the result');
  const said = module.UTF8ToString(result);
  module._free(text);
  module._wasm_free_string(result);
  return said;
}

function treeOutcome(module: PgQueryModule, pointer: number): ParseOutcome {
  assert(pointer !== 0, 'the parser gives a tree or an error');
  return { kind: 'tree', tree: JSON.parse(module.UTF8ToString(pointer)) as ParseResult };
}

function refusal(module: PgQueryModule, error: number): ParseOutcome {
  const message = word(module, error);
  return {
    kind: 'refused',
    message: message === 0 ? 'unknown error' : module.UTF8ToString(message),
    position: word(module, error + 16),
  };
}

function word(module: PgQueryModule, pointer: number): number {
  return module.HEAPU32[pointer >> 2]!;
}
