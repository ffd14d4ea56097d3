import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SCOPES } from '../../src/admin/tokens.ts';
import { variablesOf } from '../../src/config/environment.ts';
import { configSchema } from '../../src/config/schema.ts';
import { loadPolicy } from '../../src/policy/load.ts';

const configuration = readFileSync('docs/configuration.md', 'utf8');
const policy = readFileSync('docs/policy.md', 'utf8');

it('docs/configuration.md names every key and every scope', () => {
  for (const { path } of variablesOf(configSchema)) expect(configuration).toContain(`\`${path.join('.')}\``);
  for (const scope of SCOPES) expect(configuration).toContain(`\`${scope}\``);
});

it('the policy in docs/policy.md loads', () => {
  const example = /```yaml\n([\s\S]*?)```/.exec(policy)?.[1] ?? '';
  expect(loadPolicy(example, 'docs/policy.md').rules).toHaveLength(3);
});
