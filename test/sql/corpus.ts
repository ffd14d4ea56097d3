import { readFileSync } from 'node:fs';

/** The lines of a fixture that are cases: neither empty nor comments. */
export function cases(name: string): string[] {
  const text = readFileSync(new URL(`../fixtures/sql/${name}`, import.meta.url), 'utf8');
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

export interface RiskCase {
  readonly risk: string;
  readonly operation: string;
  readonly sql: string;
}

export function riskCases(): RiskCase[] {
  return cases('risks.txt').map((line) => {
    const [risk = '', operation = '', ...rest] = line.split(' | ');
    return { risk, operation, sql: rest.join(' | ') };
  });
}
