import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reapAtExit } from '../support/reap.ts';
import { cpuSecondsAtRest } from './cpu.ts';

export const WORKLOADS = ['select', 'tpcb'] as const;
export const PROTOCOLS = ['simple', 'extended', 'prepared'] as const;
export type Workload = (typeof WORKLOADS)[number];
export type Protocol = (typeof PROTOCOLS)[number];

/** One thing measured, on every target. */
export interface Point {
  readonly workload: Workload;
  readonly protocol: Protocol;
  readonly clients: number;
}

export interface Target {
  readonly name: string;
  readonly port: number;
  /** The process in the middle, or null where there is none. */
  readonly pid: number | null;
  /** What it wrote about itself, for failures. */
  log(): string;
}

export interface Sample {
  readonly tps: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Of the middle process per transaction, all threads, user and system; null where there is none. */
  readonly cpuUs: number | null;
}

export function pointName(point: Point): string {
  return `${point.workload}/${point.protocol}/${point.clients}`;
}

/** Runs pgbench once and reads what it and the middle process tell. */
export async function measure(target: Target, point: Point, seconds: number, seed: number): Promise<Sample> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-pgbench-'));
  try {
    const before = target.pid === null ? 0 : await cpuSecondsAtRest(target.pid);
    const output = await pgbench(folder, [
      ...['-h', '127.0.0.1', '-p', String(target.port), '-U', 'postgres'],
      ...['-n', '-T', String(seconds), '-M', point.protocol, `--random-seed=${seed}`],
      ...['-c', String(point.clients), '-j', point.clients === 1 ? '1' : '2'],
      ...(point.workload === 'select' ? ['-S'] : []),
      ...['-l', '--log-prefix', 'log', '--sampling-rate', point.workload === 'select' ? '0.05' : '0.5'],
      'postgres',
    ]);
    const cpu = target.pid === null ? null : (await cpuSecondsAtRest(target.pid)) - before;
    const transactions = Number(/number of transactions actually processed: (\d+)/.exec(output)?.[1]);
    const tps = Number(/^tps = ([\d.]+)/m.exec(output)?.[1]);
    const failed = Number(/number of failed transactions: (\d+)/.exec(output)?.[1] ?? 0);
    if (!(transactions > 0) || failed > 0) throw new Error(`pgbench against ${target.name}:\n${output}`);
    const latencies = readLatencies(folder);
    return {
      tps,
      p50Us: percentile(latencies, 0.5),
      p99Us: percentile(latencies, 0.99),
      cpuUs: cpu === null ? null : (cpu / transactions) * 1_000_000,
    };
  } catch (cause) {
    throw new Error(`${pointName(point)} against ${target.name}, whose log is:\n${target.log()}`, { cause });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function pgbench(folder: string, args: readonly string[]): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = spawn('pgbench', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    reapAtExit(child, 'SIGKILL');
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`pgbench ${args.join(' ')} exited with ${code}:\n${output.slice(0, 2000)}`));
    });
  });
}

function readLatencies(folder: string): Float64Array {
  const values: number[] = [];
  for (const file of readdirSync(folder)) {
    if (!file.startsWith('log.')) continue;
    for (const line of readFileSync(join(folder, file), 'latin1').split('\n')) {
      const latency = Number(line.split(' ', 3)[2]);
      if (line !== '' && Number.isFinite(latency)) values.push(latency);
    }
  }
  return Float64Array.from(values).sort();
}

export function percentile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
