import type { Middle } from '../support/gateway.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { eventually, openFiles, residentBytes } from '../support/process-facts.ts';
import { Random } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import {
  beHostile,
  type Hostility,
  SESSION_HOSTILITIES,
  STARTUP_HOSTILITIES,
  vanish,
} from './hostile-clients.ts';
import { type MemoryHeld, memoryHeld } from './memory-held.ts';

export interface SoakOptions {
  /** Connections that are watched, after those of the warm-up. */
  readonly connections: number;
  readonly warmUp?: number;
  readonly seed: number;
  /** Whether the answers are looked at; not so where nothing answers for the protocol, as in a bare pipe. */
  readonly judged?: boolean;
  /** Whether the process was started with `withMemoryProbe`. */
  readonly probed?: boolean;
  readonly onProgress?: (done: number) => void;
}

/** What is left of a process at one time, with no connection open. */
export interface Look {
  readonly files: number;
  readonly resident: number;
  readonly held: MemoryHeld | null;
}

export interface SoakResult {
  readonly connections: number;
  readonly problems: readonly string[];
  readonly atStart: Look;
  readonly warm: Look;
  readonly atEnd: Look;
}

const WARM_UP = 300;
const SIDE_BY_SIDE = 8;

/**
 * Hostile connections of every kind, side by side, with good sessions among them that must not notice. The
 * process is looked at before, after a warm-up, and at the end, each time with everything closed.
 */
export async function soak(
  postgres: TestPostgres,
  middle: Middle,
  options: SoakOptions,
): Promise<SoakResult> {
  const problems: string[] = [];
  const warmUp = options.warmUp ?? WARM_UP;
  const look = async (): Promise<Look> => ({
    files: openFiles(middle.pid),
    resident: residentBytes(middle.pid),
    held: options.probed === true ? await memoryHeld(middle) : null,
  });
  const atStart = await look();
  await hammer(postgres, middle, 0, warmUp, options, problems);
  await untilIdle(postgres);
  const warm = await look();
  await hammer(postgres, middle, warmUp, warmUp + options.connections, options, problems);
  await untilIdle(postgres);
  await eventually('open files', () => {
    const now = openFiles(middle.pid);
    return now <= warm.files ? null : `${now}, ${warm.files} before`;
  }).catch((error: unknown) => problems.push(String(error)));
  middle.assertAlive();
  return { connections: options.connections, problems, atStart, warm, atEnd: await look() };
}

const KIB = 1024;
/** What code that is compiled, and what is remembered of it, may take between two looks. */
const HELD_NOISE_BYTES = 512 * KIB;
/** The least that a forgotten session could keep is far more. */
const HELD_BYTES_PER_CONNECTION = 128;
/** Buffers of connections that are gone; a connection has two of 32 KiB. */
const BUFFERS_KEPT_BYTES = 2 * KIB * KIB;
/** A bare pipe of Node grows by up to 50 MiB on the same way: pages of V8 and of malloc that are not given back. */
const RESIDENT_GROWTH_BYTES = 96 * KIB * KIB;

/** What is wrong with the memory, in words; nothing where it does not grow with connections. */
export function memoryProblems(result: SoakResult): string[] {
  const problems: string[] = [];
  const kib = (bytes: number): string => `${Math.round(bytes / KIB)} KiB`;
  const { atStart, warm, atEnd, connections } = result;
  if (warm.held === null || atEnd.held === null || atStart.held === null)
    throw new Error('no probe was asked');
  const grown = atEnd.held.heapUsed + atEnd.held.arrayBuffers - warm.held.heapUsed - warm.held.arrayBuffers;
  const bound = HELD_NOISE_BYTES + HELD_BYTES_PER_CONNECTION * connections;
  if (grown > bound) problems.push(`${connections} connections left ${kib(grown)}, above ${kib(bound)}`);
  const buffers = atEnd.held.arrayBuffers - atStart.held.arrayBuffers;
  if (buffers > BUFFERS_KEPT_BYTES)
    problems.push(`${kib(buffers)} of buffers are kept with nobody connected`);
  const resident = atEnd.resident - warm.resident;
  if (resident > RESIDENT_GROWTH_BYTES) problems.push(`the process grew by ${kib(resident)}`);
  return problems;
}

async function untilIdle(postgres: TestPostgres): Promise<void> {
  await eventually(
    'upstream sessions',
    async () => {
      const sessions = await postgres.clientSessions();
      return sessions === 0 ? null : `${sessions} open`;
    },
    20_000,
  );
}

async function hammer(
  postgres: TestPostgres,
  middle: Middle,
  first: number,
  end: number,
  options: SoakOptions,
  problems: string[],
): Promise<void> {
  const all: Hostility[] = [...STARTUP_HOSTILITIES, ...SESSION_HOSTILITIES];
  let next = first;
  const worker = async (): Promise<void> => {
    while (next < end && problems.length < 10) {
      const number = next++;
      const random = new Random(options.seed + number * 7919);
      options.onProgress?.(number);
      try {
        if (number % 100 === 0) await goodSession(middle.port);
        else if (random.chance(0.45)) await vanish(middle.port, random);
        else {
          const picked = random.pick(all);
          const hostility: Hostility =
            options.judged === false ? { ...picked, expected: 'anything' } : picked;
          const problem = await beHostile(middle.port, hostility, random);
          if (problem !== null) problems.push(`${hostility.name}: ${problem}`);
        }
      } catch (error) {
        middle.assertAlive();
        problems.push(`connection ${number}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
  if (postgres.log().includes('PANIC')) problems.push('PostgreSQL panicked');
}

async function goodSession(port: number): Promise<void> {
  const client = await RawClient.open(port);
  const rows = await client.rows('select generate_series(1, 3)');
  if (rows.length !== 3) throw new Error(`a good session got ${rows.length} of 3 rows`);
  await client.terminate();
}
