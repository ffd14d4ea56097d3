import { z } from 'zod';
import { ownership } from '../../approval/approver.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Pause, Quarantine } from '../../restraint/restraint.ts';
import type { Restrainer } from '../../restraint/restraints.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema, RequestProblem } from '../problems.ts';
import { pageOf, secured, timeText, tokenProblems } from '../route-schema.ts';
import type { Token } from '../tokens.ts';

const pauseSchema = z
  .object({ id: z.string(), reason: z.string(), by: z.string(), since: z.string() })
  .meta({ id: 'Pause' });

const pausedSchema = z
  .object({ paused: pauseSchema.nullable().describe('Null where nothing is paused.') })
  .meta({ id: 'Paused' });

const quarantineSchema = z
  .object({
    id: z.string(),
    role: z.string(),
    application: z.string().nullable().describe('Null for all that the role does.'),
    reason: z.string(),
    by: z.string(),
    since: z.string(),
    until: z.string().nullable().describe('Null until somebody lifts it.'),
  })
  .meta({ id: 'Quarantine' });

const reason = z.string().trim().min(1).max(500);
const comment = z.strictObject({ comment: z.string().max(500).optional() }).nullish();
const writeProblems = { ...tokenProblems, 415: problemSchema, 503: problemSchema } as const;

/** Stopping everybody at once, and letting go again. */
export function pauseRoutes(app: AdminApp, { restraints }: Pick<AdminDeps, 'restraints'>): void {
  const paused = () => ({ paused: restraints.pause === null ? null : pauseJson(restraints.pause) });
  app.get(
    '/v1/pause',
    {
      config: { scope: 'metadata:read' },
      schema: {
        summary: 'Whether the gateway is paused, by whom and why',
        ...secured('metadata:read'),
        response: { 200: pausedSchema, ...tokenProblems },
      },
    },
    paused,
  );
  app.post(
    '/v1/pause',
    {
      config: { scope: 'pause:write' },
      schema: {
        summary: 'Refuse everything that is not safe, from now on; a pause that is in force stands',
        ...secured('pause:write'),
        body: z.strictObject({ reason }),
        response: { 200: pausedSchema, ...writeProblems },
      },
    },
    async ({ body, principal, ip }) => {
      await restraints.pauseFor(body.reason, restrainerOf(principal, ip));
      return paused();
    },
  );
  app.post(
    '/v1/resume',
    {
      config: { scope: 'pause:write' },
      schema: {
        summary: 'End a pause',
        ...secured('pause:write'),
        body: comment,
        response: { 200: pausedSchema, ...writeProblems },
      },
    },
    async ({ body, principal, ip }) => {
      await restraints.resume(body?.comment ?? null, restrainerOf(principal, ip));
      return paused();
    },
  );
}

export function quarantineRoutes(app: AdminApp, { restraints }: Pick<AdminDeps, 'restraints'>): void {
  app.get(
    '/v1/quarantine',
    {
      config: { scope: 'quarantine:read' },
      schema: {
        summary: 'List the quarantines that are in force, the newest first',
        ...secured('quarantine:read'),
        response: { 200: pageOf(quarantineSchema), ...tokenProblems },
      },
    },
    () => ({ items: restraints.quarantines.map(quarantineJson), next: null }),
  );
  app.post(
    '/v1/quarantine',
    {
      config: { scope: 'quarantine:write' },
      schema: {
        summary: 'Put a role in quarantine',
        ...secured('quarantine:write'),
        body: z.strictObject({
          role: z.string().min(1).max(300),
          application: z.string().max(300).optional(),
          for_s: z
            .int()
            .min(1)
            .max(LIMITS.quarantineMaxMs / 1000)
            .optional()
            .describe('Until it is lifted, if not given.'),
          reason,
        }),
        response: { 200: quarantineSchema, ...writeProblems, 409: problemSchema },
      },
    },
    async ({ body: { role, application, for_s, reason }, principal, ip }) => {
      const forMs = for_s === undefined ? null : for_s * 1000;
      const wanted = { role, application: application ?? null, reason, forMs };
      return quarantineJson(await restraints.quarantine(wanted, restrainerOf(principal, ip)));
    },
  );
  app.delete(
    '/v1/quarantine/:id',
    {
      config: { scope: 'quarantine:write' },
      schema: {
        summary: 'Lift a quarantine; nobody lifts that of a role of its own',
        ...secured('quarantine:write'),
        params: z.object({
          id: z.string().regex(/^qua_[0-9a-z]+$/, 'expected the id of a quarantine, like qua_…'),
        }),
        querystring: z.strictObject({ comment: z.string().max(500).optional() }),
        response: { 200: quarantineSchema, ...tokenProblems, 404: problemSchema, 503: problemSchema },
      },
    },
    async ({ params: { id }, query, principal, ip }) => {
      const quarantine = restraints.find(id);
      const { name: by, person, roles } = principal!;
      if (ownership({ by, person, roles }, quarantine.role) !== null) {
        throw new RequestProblem('forbidden', { detail: `${quarantine.role} is a role of ${by}` });
      }
      await restraints.lift(id, query.comment ?? null, restrainerOf(principal, ip));
      return quarantineJson(quarantine);
    },
  );
}

function restrainerOf(principal: Token | null, client: string): Restrainer {
  return { by: `token:${principal?.name ?? 'unknown'}`, client };
}

function pauseJson({ id, reason, by, sinceMs }: Pause): z.infer<typeof pauseSchema> {
  return { id, reason, by, since: timeText(sinceMs) };
}

function quarantineJson(quarantine: Quarantine): z.infer<typeof quarantineSchema> {
  const { id, role, application, reason, by, sinceMs, untilMs } = quarantine;
  const until = untilMs === null ? null : timeText(untilMs);
  return { id, role, application, reason, by, since: timeText(sinceMs), until };
}
