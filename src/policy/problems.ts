import { type ErrorCode, HoldfastError } from '../base/errors.ts';

/** One thing wrong in a file. Lines and columns count from 1; they are null where the fault is not in a file. */
export interface Problem {
  /** The file's name, or what stands for it: `environment`, or the name of a variable. */
  readonly source: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly message: string;
}

/** Everything that is wrong with a policy, a configuration or a tokens file, found in one pass. */
export class InvalidSettings extends HoldfastError {
  readonly problems: readonly Problem[];

  constructor(code: Extract<ErrorCode, 'CONFIG_INVALID' | 'POLICY_INVALID'>, problems: readonly Problem[]) {
    const sorted = [...problems].sort(byPlace);
    super(code, sorted.map(formatProblem).join('\n'));
    this.name = 'InvalidSettings';
    this.problems = Object.freeze(sorted);
  }
}

/** `file:line:column: message`, as compilers write it, so that editors can jump there. */
export function formatProblem(problem: Problem): string {
  const place =
    problem.line === null ? problem.source : `${problem.source}:${problem.line}:${problem.column ?? 1}`;
  return `${place}: ${problem.message}`;
}

function byPlace(a: Problem, b: Problem): number {
  if (a.source !== b.source) return a.source < b.source ? -1 : 1;
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
}
