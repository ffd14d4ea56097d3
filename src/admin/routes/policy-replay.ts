import { setImmediate as yielding } from 'node:timers/promises';
import { z } from 'zod';
import { nowMs } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import { loadPolicy } from '../../policy/load.ts';
import { Replay } from '../../policy/replay.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema } from '../problems.ts';
import { action, instant, risk, secured, tokenProblems } from '../route-schema.ts';

const asked = z.strictObject({
  policy: z.string().describe('The text of a policy file. It is not put in force.'),
  since: instant.optional(),
  until: instant.optional(),
  role: z.string().optional(),
  database: z.string().optional(),
  events: z
    .int()
    .min(1)
    .max(LIMITS.replayEventsMax)
    .default(LIMITS.replayEventsMax)
    .describe('How many events to look at, the newest first.'),
  cursor: z.string().max(50).optional().describe('The `next` of the answer before.'),
});

const answer = z
  .object({
    policy: z.object({ revision: z.string(), mode: z.enum(['monitor', 'protect', 'block']) }),
    events: z.int().describe('How many were looked at.'),
    decided: z
      .int()
      .describe('Texts that were decided again; the statements of one text are decided as one.'),
    same: z.int(),
    skipped: z.object({
      no_text: z.int().describe('Function calls, and what was never read as text.'),
      cut_text: z.int().describe('Texts too long to be kept whole.'),
      masked_text: z.int().describe('Texts with a part that is kept as a secret.'),
      prepared_elsewhere: z.int().describe('EXECUTE of what another text has prepared.'),
    }),
    changes: z
      .array(
        z.object({
          from: action,
          to: action,
          rule_before: z.string(),
          rule: z.string(),
          risk,
          count: z.int(),
          examples: z
            .array(
              z.object({
                id: z.string(),
                time: z.string(),
                role: z.string(),
                database: z.string(),
                sql: z.string(),
              }),
            )
            .readonly(),
        }),
      )
      .readonly(),
    next: z.string().nullable().describe('Where to go on, or null at the end of the audit.'),
  })
  .meta({ id: 'Replay' });

/** How many events are decided before others have their turn. */
const TURN = 32;

/** What another policy would have made of what has happened; nothing is run, and nothing put in force. */
export function policyReplayRoute(
  app: AdminApp,
  { audit, policy }: Pick<AdminDeps, 'audit' | 'policy'>,
): void {
  app.post(
    '/v1/policy/replay',
    {
      config: { scope: 'audit:read' },
      schema: {
        summary: 'Decide recorded statements again under another policy',
        ...secured('audit:read'),
        body: asked,
        response: {
          200: answer,
          ...tokenProblems,
          415: problemSchema,
          422: problemSchema,
          503: problemSchema,
        },
      },
    },
    async ({ body }) => {
      const { since, until, role, database } = body;
      const loaded = loadPolicy(body.policy, 'policy');
      const filter = {
        ...(since === undefined ? {} : { sinceMs: since }),
        ...(until === undefined ? {} : { untilMs: until }),
        ...(role === undefined ? {} : { role }),
        ...(database === undefined ? {} : { database }),
      };
      const replay = new Replay(loaded);
      const deadlineMs = nowMs() + LIMITS.replayMs;
      let cursor = body.cursor ?? null;
      let events = 0;
      do {
        const limit = Math.min(LIMITS.adminPageMax, body.events - events);
        const page = await audit.search({ filter, cursor, limit });
        for (const event of page.items) {
          await replay.add(event, (sql) => policy.read(sql));
          if (++events % TURN === 0) await yielding();
        }
        cursor = page.next;
      } while (cursor !== null && events < body.events && nowMs() < deadlineMs);
      const { revision, mode } = loaded;
      return { policy: { revision, mode }, events, ...replay.result, next: cursor };
    },
  );
}
