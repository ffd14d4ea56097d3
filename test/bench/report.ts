import { median, type Point, pointName, type Sample } from './measure.ts';

export interface PointResult {
  readonly point: Point;
  /** By target; the nth sample of each target comes from the nth round. */
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
}

/** The medians of one target at one point, and its ratios to others of the same rounds. */
export interface Summary {
  readonly point: string;
  readonly target: string;
  readonly tps: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly cpuUs: number | null;
  readonly tpsToPipe: number | null;
  readonly tpsToDirect: number | null;
  readonly p99ToPipe: number | null;
  readonly p99ToDirect: number | null;
  readonly cpuToPipe: number | null;
}

export function summarise(results: readonly PointResult[]): Summary[] {
  return results.flatMap(({ point, samples }) =>
    Object.entries(samples).map(([target, own]) => {
      const pipe = samples['pipe'] ?? [];
      const direct = samples['direct'] ?? [];
      return {
        point: pointName(point),
        target,
        tps: median(own.map((s) => s.tps)),
        p50Us: median(own.map((s) => s.p50Us)),
        p99Us: median(own.map((s) => s.p99Us)),
        cpuUs: medianOrNull(own.map((s) => s.cpuUs)),
        tpsToPipe: ratio(own, pipe, (s) => s.tps),
        tpsToDirect: ratio(own, direct, (s) => s.tps),
        p99ToPipe: ratio(own, pipe, (s) => s.p99Us),
        p99ToDirect: ratio(own, direct, (s) => s.p99Us),
        cpuToPipe: ratio(own, pipe, (s) => s.cpuUs),
      };
    }),
  );
}

/** The median of the ratios of each round, so that a machine that slows down between rounds tells no lie. */
function ratio(
  own: readonly Sample[],
  other: readonly Sample[],
  of: (sample: Sample) => number | null,
): number | null {
  const ratios: number[] = [];
  for (let round = 0; round < Math.min(own.length, other.length); round++) {
    const [a, b] = [of(own[round]!), of(other[round]!)];
    if (a !== null && b !== null && b > 0) ratios.push(a / b);
  }
  return ratios.length === 0 ? null : median(ratios);
}

function medianOrNull(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : median(known);
}

const COLUMNS = ['workload/protocol/clients', 'target', 'tps', 'p50 ms', 'p99 ms', 'CPU µs'] as const;
const RATIOS = ['tps÷pipe', 'tps÷direct', 'p99÷pipe', 'p99÷direct', 'CPU÷pipe'] as const;

export function table(summaries: readonly Summary[]): string {
  const rows = summaries.map((s) => [
    s.point,
    s.target,
    s.tps.toFixed(0),
    (s.p50Us / 1000).toFixed(2),
    (s.p99Us / 1000).toFixed(2),
    s.cpuUs?.toFixed(1) ?? '',
    s.tpsToPipe?.toFixed(2) ?? '',
    s.tpsToDirect?.toFixed(2) ?? '',
    s.p99ToPipe?.toFixed(2) ?? '',
    s.p99ToDirect?.toFixed(2) ?? '',
    s.cpuToPipe?.toFixed(2) ?? '',
  ]);
  const all = [[...COLUMNS, ...RATIOS] as string[], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const lines = all.map((row) =>
    row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
  );
  const perPoint = Math.max(1, new Set(summaries.map((s) => s.target)).size);
  return lines
    .map((line, i) => (i > 0 && i % perPoint === 0 && i < lines.length - 1 ? `${line}\n` : line))
    .join('\n');
}

interface Goal {
  readonly name: string;
  readonly of: (summary: Summary) => number | null;
  readonly holds: (ratio: number) => boolean;
}

/** What the gateway is to reach beside the bare pipe. */
const GOALS: readonly Goal[] = [
  { name: 'throughput ≥ 0.90 of the pipe', of: (s) => s.tpsToPipe, holds: (ratio) => ratio >= 0.9 },
  { name: 'p99 ≤ 1.30 of the pipe', of: (s) => s.p99ToPipe, holds: (ratio) => ratio <= 1.3 },
  { name: 'CPU ≤ 1.15 of the pipe', of: (s) => s.cpuToPipe, holds: (ratio) => ratio <= 1.15 },
];

/** One line a goal: at how many points it holds, and where it is missed. */
export function verdicts(summaries: readonly Summary[]): string {
  const gateway = summaries.filter((summary) => summary.target === 'gateway');
  return GOALS.map(({ name, of, holds }) => {
    const measured = gateway.filter((summary) => of(summary) !== null);
    const missed = measured.filter((summary) => !holds(of(summary)!));
    const where = missed.map((summary) => `${summary.point} (${of(summary)!.toFixed(2)})`).join(', ');
    const count = `${measured.length - missed.length} of ${measured.length}`;
    return `${name}: holds at ${count}${where === '' ? '' : `; missed at ${where}`}`;
  }).join('\n');
}
