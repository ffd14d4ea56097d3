import type { TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { generateScript } from './generate.ts';
import { printScript, type Script, type Step } from './script.ts';
import { END_OTHERS_SQL, FIXTURE_SQL, REMAINS_SQL, RESET_SQL } from './sql-pool.ts';
import { differenceOf, RUN_DEADLINE_MS, runScript, type Trace } from './trace.ts';

/** A session whose two runs differ, made as small as it could be. */
export interface Finding {
  readonly seed: number;
  readonly difference: string;
  readonly script: Script;
}

export interface FuzzResult {
  readonly sessions: number;
  readonly messages: number;
  /** Sessions that got stuck on a direct connection, which compare little. */
  readonly stuck: number;
  readonly findings: readonly Finding[];
}

const SHRINK_TRIALS_MAX = 150;
const SHRINK_MS_MAX = 30_000;
/** A crash of the server kills every session of the run, whoever caused it; too many are a finding. */
const BREAKDOWNS_MAX = 30;

/**
 * Two equal databases of one server: one is reached directly, one through the middle. Before every session
 * both are put back, so that a session depends on its seed alone.
 */
export class DatabasePair {
  readonly #postgres: TestPostgres;
  readonly #middlePort: number;
  readonly #deadlineMs: number;
  readonly #names: readonly [string, string];
  readonly #controls: RawClient[];
  #breakdowns = 0;

  private constructor(
    postgres: TestPostgres,
    middlePort: number,
    deadlineMs: number,
    names: readonly [string, string],
    controls: RawClient[],
  ) {
    this.#postgres = postgres;
    this.#middlePort = middlePort;
    this.#deadlineMs = deadlineMs;
    this.#names = names;
    this.#controls = controls;
  }

  static async create(
    postgres: TestPostgres,
    middlePort: number,
    label: string,
    deadlineMs: number,
  ): Promise<DatabasePair> {
    const names = [`direct_${label}`, `through_${label}`] as const;
    for (const name of names) await postgres.sql(`create database ${name}`);
    const controls = await Promise.all(
      names.map(async (database) => {
        const control = await RawClient.open(postgres.port, { database, application_name: 'control' });
        await control.rows(
          'do $$ begin create role fuzz_role; exception when duplicate_object or unique_violation then end $$',
        );
        await control.rows(FIXTURE_SQL);
        return control;
      }),
    );
    return new DatabasePair(postgres, middlePort, deadlineMs, names, controls);
  }

  close(): void {
    for (const control of this.#controls) control.destroy();
  }

  /** Runs a script both ways and says what differs, or null; again where the server itself broke down. */
  async compare(script: Script): Promise<{ difference: string | null; direct: Trace }> {
    const first = await this.#compareOnce(script).catch((error: unknown) => {
      if (this.#controls.every((control) => control.end === 'open')) throw error;
      return null;
    });
    const brokeDown =
      this.#controls.some((control) => control.end !== 'open') || (first !== null && tellsOfBreakdown(first));
    if (first !== null && !brokeDown) return first;
    this.#breakdowns++;
    if (this.#breakdowns > BREAKDOWNS_MAX)
      throw new Error(`PostgreSQL broke down again:\n${this.#postgres.log()}`);
    await this.#reconnect();
    // There are messages that crash PostgreSQL 18.4 by themselves: with those there is nothing to compare.
    const direct = await runScript(
      script,
      { port: this.#postgres.port, database: this.#names[0] },
      null,
      2_000,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (this.#controls.some((control) => control.end !== 'open')) {
      await this.#reconnect();
      return { difference: null, direct };
    }
    return await this.#compareOnce(script);
  }

  async #reconnect(): Promise<void> {
    for (const [i, database] of this.#names.entries()) {
      for (let tries = 0; ; tries++) {
        const control = await RawClient.open(this.#postgres.port, { database }).catch(() => null);
        if (control !== null) {
          this.#controls[i] = control;
          break;
        }
        if (tries === 100) throw new Error(`PostgreSQL does not come back:\n${this.#postgres.log()}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async #compareOnce(script: Script): Promise<Compared> {
    await this.#reset(script);
    const direct = await runScript(script, { port: this.#postgres.port, database: this.#names[0] });
    const through = await runScript(
      script,
      { port: this.#middlePort, database: this.#names[1] },
      direct.pauses,
      this.#deadlineMs,
    );
    return { difference: differenceOf(direct, through) ?? (await this.#remainsDiffer()), direct, through };
  }

  async #reset(script: Script): Promise<void> {
    try {
      await Promise.all(this.#controls.map((control) => control.rows(END_OTHERS_SQL)));
      await Promise.all(this.#controls.map((control) => control.rows(RESET_SQL)));
    } catch (error) {
      const activity = await this.#postgres
        .sql('select pid, datname, state, wait_event, query from pg_stat_activity where datname is not null')
        .catch(() => [['unknown']]);
      const sessions = activity.map((row) => row.join(' | ')).join('\n');
      throw new Error(`the databases could not be put back; sessions:\n${sessions}\n${printScript(script)}`, {
        cause: error,
      });
    }
  }

  async #remainsDiffer(): Promise<string | null> {
    // The server may still be at work for a client that left without waiting, so a difference must last.
    for (let tries = 0; ; tries++) {
      const [a, b] = await Promise.all(this.#controls.map((control) => control.rows(REMAINS_SQL)));
      const [direct, through] = [JSON.stringify(a), JSON.stringify(b)];
      if (direct === through) return null;
      if (tries === 40) return `the databases differ afterwards\n  direct:  ${direct}\n  through: ${through}`;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Leaves out steps as long as the two runs still differ. */
  async shrink(script: Script, first: string, trialsMax: number): Promise<Finding> {
    if (trialsMax === 0) return { seed: script.seed, difference: first, script };
    let best = script;
    let difference = (await this.compare(script)).difference;
    if (difference === null) {
      return { seed: script.seed, difference: `differed once and not again: ${first}`, script };
    }
    let trials = 0;
    const stopAt = performance.now() + SHRINK_MS_MAX;
    const mayTry = () => trials < trialsMax && performance.now() < stopAt;
    for (let size = Math.ceil(best.steps.length / 2); size >= 1 && mayTry(); ) {
      let reduced = false;
      for (let at = 0; at < best.steps.length && mayTry(); ) {
        const steps: Step[] = best.steps.toSpliced(at, size);
        const candidate: Script = { ...best, steps };
        trials++;
        const found = (await this.compare(candidate)).difference;
        if (found !== null) {
          best = candidate;
          difference = found;
          reduced = true;
        } else {
          at += size;
        }
      }
      if (!reduced || size > 1) {
        if (size === 1) break;
        size = Math.floor(size / 2);
      }
    }
    return { seed: script.seed, difference, script: best };
  }
}

interface Compared {
  readonly difference: string | null;
  readonly direct: Trace;
  readonly through: Trace;
}

/** Whether a run met a server that was ending or starting (57P02, 57P03), which no script asks for. */
function tellsOfBreakdown({ direct, through }: Compared): boolean {
  return [...direct.messages, ...through.messages].some(
    (m) => m.type === 'E' && /\0C57P0[23]\0/.test(m.body.toString('latin1')),
  );
}

export interface FuzzOptions {
  readonly postgres: TestPostgres;
  readonly middlePort: number;
  readonly firstSeed: number;
  readonly sessions: number;
  /** Sessions that run side by side, each on a pair of databases of its own. */
  readonly workers: number;
  readonly findingsMax: number;
  readonly deadlineMs?: number;
  /** How long one session may wait for one thing. */
  readonly runDeadlineMs?: number;
  readonly shrinkTrialsMax?: number;
  /** Tells apart the databases of several runs on one server. */
  readonly label?: string;
  readonly onProgress?: (done: number) => void;
}

export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const findings: Finding[] = [];
  let next = 0;
  let done = 0;
  let messages = 0;
  let stuck = 0;
  const stopAt = performance.now() + (options.deadlineMs ?? Number.POSITIVE_INFINITY);
  const label = options.label ?? 'fuzz';
  const trialsMax = options.shrinkTrialsMax ?? SHRINK_TRIALS_MAX;
  const worker = async (number: number): Promise<void> => {
    const pair = await DatabasePair.create(
      options.postgres,
      options.middlePort,
      `${label}_${number}`,
      options.runDeadlineMs ?? RUN_DEADLINE_MS,
    );
    try {
      while (next < options.sessions && findings.length < options.findingsMax && performance.now() < stopAt) {
        const script = generateScript(options.firstSeed + next++);
        const { difference, direct } = await pair.compare(script);
        messages += direct.messages.length;
        if (direct.stuck !== null) stuck++;
        if (difference !== null) findings.push(await pair.shrink(script, difference, trialsMax));
        options.onProgress?.(++done);
      }
    } finally {
      pair.close();
    }
  };
  await Promise.all(Array.from({ length: options.workers }, (_, i) => worker(i)));
  return { sessions: done, messages, stuck, findings };
}

export function printFinding(finding: Finding): string {
  return `${finding.difference}\nin ${printScript(finding.script)}\n`;
}
