import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SCOPES } from '../../src/admin/tokens.ts';
import { variablesOf } from '../../src/config/environment.ts';
import { configSchema } from '../../src/config/schema.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { holdfast } from '../cli/support.ts';

const configuration = readFileSync('docs/configuration.md', 'utf8');
const policy = readFileSync('docs/policy.md', 'utf8');

it('docs/configuration.md names every key and every scope', () => {
  for (const { path } of variablesOf(configSchema)) expect(configuration).toContain(`\`${path.join('.')}\``);
  for (const scope of SCOPES) expect(configuration).toContain(`\`${scope}\``);
});

it('config/tokens.example.yaml names every scope', () => {
  const words = readFileSync('config/tokens.example.yaml', 'utf8').split(/\s+/);
  expect(words).toEqual(expect.arrayContaining([...SCOPES]));
});

it('docs/configuration.md names every command', async () => {
  const { out } = await holdfast(['completion', 'bash']);
  const list = /case "\$longer" in\n(.*)\) at=/.exec(out)?.[1] ?? '';
  const commands = [...list.matchAll(/'([a-z -]+)'/g)].map(([, words]) => words!.split(' '));
  expect(commands.length).toBeGreaterThan(30);
  const rows = configuration.split('\n').filter((line) => line.startsWith('| `holdfast '));
  for (const [command, ...words] of commands) {
    const row = rows.filter((line) => line.includes(`\`holdfast ${command}`)).join('\n');
    for (const word of words) expect(row, `holdfast ${command} ${word}`).toMatch(new RegExp(`\\b${word}\\b`));
    expect(row, command).not.toBe('');
  }
});

it('the policy in docs/policy.md loads', () => {
  const example = /```yaml\n([\s\S]*?)```/.exec(policy)?.[1] ?? '';
  expect(loadPolicy(example, 'docs/policy.md').rules).toHaveLength(3);
});
