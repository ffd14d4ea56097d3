import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PolicyHolder } from '../../src/policy/holder.ts';
import { DEFAULT_POLICY, loadPolicy, loadPolicyFile } from '../../src/policy/load.ts';
import { InvalidSettings } from '../../src/policy/problems.ts';
import { policySchema } from '../../src/policy/schema.ts';
import { expectJsonSchema, goldenFiles } from '../fixtures/golden.ts';

function faultsOf(load: () => unknown): string {
  try {
    load();
    return 'loaded\n';
  } catch (error) {
    if (!(error instanceof InvalidSettings)) throw error;
    return `${error.message}\n`;
  }
}

describe('a policy that cannot be meant is refused, with every fault at its place', () => {
  for (const golden of goldenFiles(join(import.meta.dirname, '../fixtures/policy'))) {
    it(golden.name, () => {
      const faults = faultsOf(() => loadPolicy(golden.input, 'policy.yaml'));
      golden.update(faults);
      if (process.env['UPDATE_GOLDEN'] !== '1') expect(faults).toBe(golden.expected);
      expect(faults).not.toBe('loaded\n');
      for (const line of faults.trimEnd().split('\n')) expect(line).toMatch(/^policy\.yaml:\d+:\d+: \S/);
    });
  }

  it('a file longer than the limit', () => {
    expect(faultsOf(() => loadPolicy(`#${'x'.repeat(1024 * 1024)}`, 'p'))).toBe(
      'p:1:1: the file is longer than 1048576 bytes\n',
    );
  });

  it('a file nested deeper than the parser can follow', () => {
    expect(faultsOf(() => loadPolicy('['.repeat(100_000), 'p'))).toContain('nested too deeply');
  });
});

describe('a policy', () => {
  it("has the start of its text's SHA-256 for a revision", () => {
    expect(loadPolicy('mode: block', 'a').revision).toBe(loadPolicy('mode: block', 'b').revision);
    expect(loadPolicy('mode: block', 'a').revision).not.toBe(loadPolicy('mode: block\n', 'a').revision);
    expect(DEFAULT_POLICY.revision).toMatch(/^[0-9a-f]{12}$/);
  });

  it('warns of what does less than it seems to', () => {
    const text = `
rules:
  - { name: a, action: hold, hold: { mode: ticket } }
  - { name: b, match: { role: etl, rows: "<10" }, action: allow }
`;
    const { warnings } = loadPolicy(text, 'p');
    expect(warnings.map(({ line, column }) => [line, column])).toEqual([[4, 42]]);
  });

  it('takes its terms of holding from the rule, then from the top, then from the limits', () => {
    const text = `
hold: { timeout: 5m, approvals: 2, approvers: dba, grant_for: 1h, rows_tolerance: 5 }
rules: [{ name: a, action: hold, hold: { mode: ticket, timeout: 10s, rows_tolerance: "20%" } }]
`;
    const policy = loadPolicy(text, 'p');
    expect(policy.rules[0]?.measure).toMatchObject({
      mode: 'ticket',
      timeoutMs: 10_000,
      approvals: 2,
      approvers: ['dba'],
      grantMs: 3_600_000,
      rowsTolerance: { unit: 'percent', percent: 20 },
    });
    expect(policy.defaults.critical).toMatchObject({
      mode: 'auto',
      timeoutMs: 300_000,
      approvals: 2,
      noticeMs: 30_000,
      rowsTolerance: { unit: 'rows', rows: 5 },
    });
  });
});

describe('the files that are shipped', () => {
  it('config/policy.yaml loads, and decides as the built-in policy does', () => {
    const shipped = loadPolicyFile('config/policy.yaml');
    expect(shipped.defaults).toEqual(DEFAULT_POLICY.defaults);
    expect(shipped).toMatchObject({ mode: 'protect', rules: [], warnings: [] });
  });

  it('its examples load too, once they are no longer comments', async () => {
    const { readFileSync } = await import('node:fs');
    const text = readFileSync('config/policy.yaml', 'utf8');
    const examples = text.replace('rules: []', 'rules:').replace(/^# {2}(?=[- ] )/gm, '  ');
    expect(loadPolicy(examples, 'p').rules.map((rule) => rule.name)).toHaveLength(4);
  });

  it('config/policy.schema.json is what the code says', () => {
    expectJsonSchema('config/policy.schema.json', policySchema);
  });
});

describe('the policy in force', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-policy-'));
  const path = join(folder, 'policy.yaml');
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is replaced as a whole', () => {
    const holder = new PolicyHolder(DEFAULT_POLICY);
    writeFileSync(path, 'mode: block\n');
    expect(holder.reloadFrom(path)).toBe(holder.current);
    expect(holder.current.mode).toBe('block');
  });

  it('stays where the new file is bad or gone', () => {
    const holder = new PolicyHolder(DEFAULT_POLICY);
    writeFileSync(path, 'mode: blok\n');
    expect(() => holder.reloadFrom(path)).toThrow(/policy\.yaml:1:7: expected monitor \| protect \| block/);
    expect(() => holder.reloadFrom(join(folder, 'gone.yaml'))).toThrow('there is no such file');
    writeFileSync(path, Buffer.from([0x6d, 0xff, 0xfe]));
    expect(() => holder.reloadFrom(path)).toThrow('the file is not UTF-8 text');
    expect(holder.current).toBe(DEFAULT_POLICY);
  });
});
