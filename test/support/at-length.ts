import { parseArgs } from 'node:util';
import type { Middle } from './gateway.ts';
import { startPostgres, type TestPostgres } from './postgres.ts';
import { seedOfRun } from './random.ts';
import { reapNow } from './reap.ts';
import setUp from './run-setup.ts';

/**
 * What the commands have in common that test at length: their options and `--help`, the seed that they print, servers that
 * end with them also at Ctrl-C, a line of progress, how to repeat what is found, and the exit code.
 */
export interface Command {
  /** Its name in package.json. */
  readonly script: string;
  readonly does: string;
  /** What it does again and again, each time with the next seed, and how often unless told. */
  readonly repeats?: readonly [what: string, times: number];
  /** Whole numbers, with what they are unless told. */
  readonly numbers?: Readonly<Record<string, readonly [otherwise: number, means: string]>>;
  /** Words, of which the first is meant unless another is told. */
  readonly words?: Readonly<Record<string, readonly [words: readonly string[], means: string]>>;
}

interface Option {
  readonly name: string;
  readonly otherwise: string;
  readonly words: readonly string[] | null;
  readonly means: string;
}

type Asked =
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly why: string }
  | { readonly kind: 'run'; readonly values: Readonly<Record<string, string>> };

const PROGRESS_SECONDS = 30;
const FINDINGS_MAX = 5;
const FAULTS_SHOWN = 5;

/** Runs it: exits with 1 where something was found or it failed, and with 2 where its options are wrong. */
export async function atLength(command: Command, body: (run: Run) => Promise<void>): Promise<void> {
  const asked = askedOf(command, process.argv.slice(2));
  if (asked.kind === 'help') return console.log(helpOf(command));
  if (asked.kind === 'wrong') {
    console.error(`${asked.why}\n\n${helpOf(command)}`);
    process.exitCode = 2;
    return;
  }
  const removeFiles = setUp();
  const run = new Run(command, asked.values);
  const interrupt = async (signal: 'SIGINT' | 'SIGTERM') => {
    run.isInterrupted = true;
    // What is under way loses its servers.
    process.on('uncaughtException', () => {});
    console.log(`${signal}: it is stopped. ${run.again}`);
    await reapNow();
    removeFiles();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void interrupt(signal));
  console.log(run.heading);
  try {
    await body(run);
  } catch (error) {
    run.found(testItself(error));
  }
  // Then everything ends with the process.
  if (run.isInterrupted) return;
  await run.stop();
  removeFiles();
  run.conclude();
}

/** A run of such a command. */
export class Run {
  readonly seed: number;
  readonly version: 15 | 18;
  isInterrupted = false;
  readonly #command: Command;
  readonly #values: Readonly<Record<string, string>>;
  readonly #stopped: { stop(): Promise<void> }[] = [];
  readonly #started = performance.now();
  #figures: object = {};
  #findings = 0;
  #told = 0;

  constructor(command: Command, values: Readonly<Record<string, string>>) {
    this.#command = command;
    this.#values = values;
    this.seed = this.number('seed');
    this.version = this.number('version') === 15 ? 15 : 18;
  }

  number(name: string): number {
    return Number(this.word(name));
  }

  word(name: string): string {
    return this.#values[name]!;
  }

  /** How often it is to be done. */
  get times(): number {
    return this.number(this.#command.repeats![0]);
  }

  get findingsMax(): number {
    return this.number('findings');
  }

  get secondsLeft(): number {
    return this.number('seconds') - this.#seconds;
  }

  get heading(): string {
    const { script, repeats } = this.#command;
    const what = repeats === undefined ? '' : `${this.times} ${repeats[0]}, `;
    return `${script}: ${what}seed ${this.seed}, PostgreSQL ${this.version}`;
  }

  /** Starts a server, which is stopped behind what is started after it. */
  async postgres(): Promise<TestPostgres> {
    return this.stopping(await startPostgres({ version: this.version }));
  }

  stopping<T extends { stop(): Promise<void> }>(what: T): T {
    this.#stopped.push(what);
    return what;
  }

  async stop(): Promise<void> {
    for (const each of this.#stopped.toReversed()) await each.stop();
  }

  /** Does it with one seed after another, and takes down what each has found; ends with what fails by itself. */
  async each(one: (seed: number) => Promise<string | readonly string[] | null>): Promise<void> {
    for (let i = 0; i < this.times && !this.#isEnough; i++) {
      const seed = this.seed + i;
      try {
        for (const what of [(await one(seed)) ?? []].flat()) this.found(what, seed);
      } catch (error) {
        return this.found(testItself(error), seed);
      }
      this.progress(i + 1);
    }
  }

  get #isEnough(): boolean {
    return this.isInterrupted || this.#findings >= this.findingsMax || this.secondsLeft <= 0;
  }

  /** Says how far it is, from time to time. */
  progress(done: number): void {
    if (this.#seconds < this.#told + PROGRESS_SECONDS) return;
    this.#told = this.#seconds;
    console.log(`${done} of ${this.times} ${this.#command.repeats![0]}, ${Math.round(this.#seconds)} s`);
  }

  /** Takes down that something is wrong, and with which seed. */
  found(what: string, seed: number | null = null): void {
    // Then nothing is as it should be.
    if (this.isInterrupted) return;
    this.#findings++;
    console.log(seed === null ? `\n${what}` : `\n${what}\n${this.#repeated(seed, 1)}`);
  }

  /** A gateway is to be there still, and to have told of no error. */
  foundIn(gateway: Pick<Middle, 'assertAlive' | 'log'>): void {
    gateway.assertAlive();
    const faults = gateway
      .log()
      .split('\n')
      .filter((line) => /"level":"(?:error|fatal)"/.test(line));
    for (const line of faults.slice(0, FAULTS_SHOWN)) this.found(line);
    if (faults.length > FAULTS_SHOWN) this.found(`${faults.length} such lines`);
  }

  /** What is counted, for the last line. */
  tell(figures: object): void {
    this.#figures = figures;
  }

  conclude(): void {
    const { version, seed } = this;
    const [findings, seconds] = [this.#findings, Number(this.#seconds.toFixed(1))];
    console.log(JSON.stringify({ version, seed, ...this.#figures, findings, seconds }));
    if (findings === 0) return;
    console.log(this.again);
    process.exitCode = 1;
  }

  /** How to do all of it again. */
  get again(): string {
    return this.#repeated(this.seed, this.#command.repeats === undefined ? null : this.times);
  }

  #repeated(seed: number, times: number | null): string {
    const { script, repeats } = this.#command;
    const as = optionsOf(this.#command)
      .filter(({ name }) => !['seed', 'findings', repeats?.[0]].includes(name))
      .filter(({ name, otherwise }) => this.word(name) !== otherwise)
      .map(({ name }) => ` --${name} ${this.word(name)}`);
    const often = times === null ? '' : ` --${repeats![0]} ${times}`;
    return `Again: npm run ${script} -- --seed ${seed}${often}${as.join('')}`;
  }

  get #seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }
}

/** What a run says of an error that is no end of it. */
export function testItself(error: unknown): string {
  return `the test itself: ${error instanceof Error ? error.stack : String(error)}`;
}

function optionsOf({ repeats, numbers = {}, words = {} }: Command): Option[] {
  const number = (name: string, otherwise: number, means: string): Option => {
    return { name, otherwise: String(otherwise), words: null, means };
  };
  const often =
    repeats === undefined
      ? []
      : [
          number(repeats[0], repeats[1], 'how many, each with a seed of its own'),
          number('seconds', 100_000, 'how long at the most'),
          number('findings', FINDINGS_MAX, 'how many before it ends'),
        ];
  return [
    ...often,
    number('seed', seedOfRun(1), 'the first of them, which repeats a run; or HOLDFAST_SEED'),
    ...Object.entries({ version: [['18', '15'], 'of PostgreSQL'] as const, ...words }).map(
      ([name, [of, means]]): Option => ({ name, otherwise: of[0]!, words: of, means }),
    ),
    ...Object.entries(numbers).map(([name, [otherwise, means]]) => number(name, otherwise, means)),
  ];
}

function askedOf(command: Command, given: readonly string[]): Asked {
  const options = optionsOf(command);
  const type = 'string' as const;
  try {
    const { values } = parseArgs({
      args: [...given],
      options: {
        help: { type: 'boolean' },
        ...Object.fromEntries(options.map(({ name, otherwise }) => [name, { type, default: otherwise }])),
      },
    });
    if (values.help === true) return { kind: 'help' };
    const all = values as unknown as Record<string, string>;
    for (const { name, words } of options) {
      const value = all[name]!;
      const isRight = words === null ? /^\d+$/.test(value) : words.includes(value);
      if (!isRight)
        return {
          kind: 'wrong',
          why: `--${name} is ${words?.join(' or ') ?? 'a whole number'}, not ${value}`,
        };
    }
    return { kind: 'run', values: all };
  } catch (error) {
    return { kind: 'wrong', why: (error as Error).message };
  }
}

function helpOf(command: Command): string {
  const lines = optionsOf(command).map(({ name, otherwise, words, means }) => {
    const value = words?.join('|') ?? 'N';
    return `  ${`--${name} ${value}`.padEnd(34)} ${means} (${otherwise})`;
  });
  return `npm run ${command.script} -- [options]

${command.does}

${lines.join('\n')}

Whatever it finds is printed with how to repeat it, and makes its exit code 1. Ctrl-C leaves no server and no file.`;
}
