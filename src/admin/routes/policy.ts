import { z } from 'zod';
import type { AdminApp } from '../app.ts';
import type { AdminDeps, PolicyFacts } from '../deps.ts';
import { problemSchema } from '../problems.ts';
import { secured, tokenProblems } from '../route-schema.ts';

const policySchema = z
  .object({
    revision: z.string().describe('The start of the SHA-256 of the text.'),
    mode: z.enum(['monitor', 'protect', 'block']),
    file: z.string(),
    rules: z
      .array(z.string())
      .readonly()
      .describe('The names of the rules, in the order in which they are tried.'),
    source: z.string().describe('The text that is in force.'),
  })
  .meta({ id: 'Policy' });

/** The policy in force, and the request to read its file again; its text is changed where it lies. */
export function policyRoutes(app: AdminApp, { policy, log }: Pick<AdminDeps, 'policy' | 'log'>): void {
  app.get(
    '/v1/policy',
    {
      config: { scope: 'policy:read' },
      schema: {
        summary: 'Show the policy in force',
        ...secured('policy:read'),
        response: { 200: policySchema, ...tokenProblems },
      },
    },
    () => policyJson(policy.current()),
  );
  app.post(
    '/v1/policy/reload',
    {
      config: { scope: 'policy:write' },
      schema: {
        summary: 'Read the policy file again; one that is not valid changes nothing',
        ...secured('policy:write'),
        body: z.strictObject({}).nullish(),
        response: { 200: policySchema, ...tokenProblems, 415: problemSchema, 422: problemSchema },
      },
    },
    async ({ principal }) => {
      const loaded = await policy.reload();
      log.info({ by: principal?.name, revision: loaded.revision }, 'the policy was read again');
      return policyJson(loaded);
    },
  );
}

function policyJson(policy: PolicyFacts): z.infer<typeof policySchema> {
  const { revision, mode, fileName, rules, source } = policy;
  return { revision, mode, file: fileName, rules: rules.map((rule) => rule.name), source };
}
