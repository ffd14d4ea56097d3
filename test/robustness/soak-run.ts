import type { Middle } from '../support/gateway.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { eventually, openFiles, residentBytes } from '../support/process-facts.ts';
import { Random } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { beHostile, SESSION_HOSTILITIES, STARTUP_HOSTILITIES, vanish } from './hostile-clients.ts';

export interface SoakResult {
  readonly connections: number;
  readonly problems: readonly string[];
  readonly filesBefore: number;
  readonly filesAfter: number;
  readonly residentBefore: number;
  readonly residentAfter: number;
}

const WARM_UP = 300;
const SIDE_BY_SIDE = 8;

/**
 * Hostile connections of every kind, side by side, with good sessions among them that must not notice. The
 * process is measured after a warm-up and again at the end, when everything is closed.
 */
export async function soak(
  postgres: TestPostgres,
  middle: Middle,
  options: { readonly connections: number; readonly seed: number; readonly onProgress?: (n: number) => void },
): Promise<SoakResult> {
  const problems: string[] = [];
  await hammer(postgres, middle, Math.min(WARM_UP, options.connections), options.seed ^ 0x55, problems);
  await untilIdle(postgres);
  const filesBefore = openFiles(middle.pid);
  const residentBefore = residentBytes(middle.pid);
  await hammer(postgres, middle, options.connections, options.seed, problems, options.onProgress);
  await untilIdle(postgres);
  await eventually('open files', () => {
    const now = openFiles(middle.pid);
    return now <= filesBefore ? null : `${now}, ${filesBefore} before`;
  }).catch((error: unknown) => problems.push(String(error)));
  middle.assertAlive();
  return {
    connections: options.connections,
    problems,
    filesBefore,
    filesAfter: openFiles(middle.pid),
    residentBefore,
    residentAfter: residentBytes(middle.pid),
  };
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
  connections: number,
  seed: number,
  problems: string[],
  onProgress?: (done: number) => void,
): Promise<void> {
  const all = [...STARTUP_HOSTILITIES, ...SESSION_HOSTILITIES];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < connections && problems.length < 10) {
      const number = next++;
      const random = new Random(seed + number * 7919);
      onProgress?.(number);
      try {
        if (number % 100 === 0) await goodSession(middle.port);
        else if (random.chance(0.45)) await vanish(middle.port, random);
        else {
          const hostility = random.pick(all);
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
