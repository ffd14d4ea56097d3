import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminUnderTest } from '../admin/admin-under-test.ts';
import { alerts, panels } from './queries.ts';

/** A series as /metrics shows it. */
interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Those that Prometheus adds to each. */
const ADDED = new Set(['job', 'instance']);
/** Labels whose values are not known beforehand. */
const FREE = new Set(['holdfast_policy_info', 'holdfast_build_info']);
const WORDS = /\b(?:holdfast|process|nodejs)_[a-z0-9_]+/g;

function labelsOf(text: string): [label: string, operator: string, value: string][] {
  return [...text.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].map(([, label, operator, value]) => [
    label!,
    operator!,
    value!,
  ]);
}

describe('every query of the dashboard and the alert rules', () => {
  let series: Series[] = [];

  beforeAll(async () => {
    const admin = await AdminUnderTest.start();
    const { text } = await admin.ask('GET', '/metrics', admin.token(['metrics:read']));
    await admin.stop();
    series = text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const [, name, labels] = /^(\w+)(?:\{([^}]*)\})? /.exec(line)!;
        return { name: name!, labels: Object.fromEntries(labelsOf(labels ?? '').map(([l, , v]) => [l, v])) };
      });
  });
  afterAll(() => {
    series = [];
  });

  it.each([...alerts(), ...panels()])('$name: $expr', ({ expr }) => {
    for (const [selector] of expr.matchAll(/\b[a-z]+_[a-z0-9_]+(?:\{[^}]*\})?/g)) {
      const name = WORDS.exec(selector)?.[0];
      WORDS.lastIndex = 0;
      if (name === undefined) continue;
      const matchers = labelsOf(selector).filter(([label]) => !ADDED.has(label));
      const matching = series.filter(
        (each) =>
          each.name === name &&
          matchers.every(([label, operator, value]) => {
            const found = each.labels[label];
            if (found === undefined) return false;
            if (FREE.has(name)) return true;
            const same = operator.endsWith('~') ? new RegExp(`^(?:${value})$`).test(found) : found === value;
            return operator.startsWith('!') ? !same : same;
          }),
      );
      expect(matching, selector).not.toEqual([]);
      const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels]) => labels!.split(/,\s*/));
      const wanted = grouped.filter((label) => !ADDED.has(label));
      for (const label of wanted) expect(Object.keys(matching[0]!.labels), selector).toContain(label);
    }
  });

  it('is of a metric that docs/api.md names, where it is the gateway’s own', () => {
    const documented = readFileSync('docs/api.md', 'utf8');
    const named = new Set(
      [...alerts(), ...panels()].flatMap(({ expr }) => expr.match(/\bholdfast_[a-z0-9_]+/g) ?? []),
    );
    for (const name of named) {
      const plain = name.replace(/_bucket$/, '');
      const tails = plain.split('_').map((_, i, parts) => `_${parts.slice(i).join('_')}`);
      const found = documented.includes(plain) || tails.some((tail) => documented.includes(`\`${tail}\``));
      expect(found, name).toBe(true);
    }
  });
});

it('docs/monitoring.md says of every alert what to do', () => {
  const text = readFileSync('docs/monitoring.md', 'utf8');
  for (const { name } of alerts()) expect(text).toContain(`\`${name}\``);
});
