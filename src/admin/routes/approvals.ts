import { z } from 'zod';
import {
  APPROVAL_STATES,
  type Approval,
  type Binding,
  type Grant,
  type Vote,
} from '../../approval/approval.ts';
import type { Decider } from '../../approval/approver.ts';
import { LIMITS } from '../../base/limits.ts';
import { formatRowsTolerance } from '../../policy/rows-tolerance.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema, RequestProblem } from '../problems.ts';
import { CURSOR, limit, pageOf, risk, secured, timeText, tokenProblems } from '../route-schema.ts';
import type { Token } from '../tokens.ts';

const ID = /^[a-z]+_[0-9a-z]+$/;
export const id = z.string().regex(ID, 'expected the id of an approval, like apr_…');

const approvalSchema = z
  .object({
    id,
    state: z.enum(APPROVAL_STATES),
    mode: z
      .enum(['live', 'ticket'])
      .describe('live: a session waits. ticket: whoever asks again may run it, once.'),
    created_at: z.string(),
    expires_at: z.string(),
    resolved_at: z.string().nullable(),
    resolved_by: z.string().nullable().describe('The name of the token that decided, or the names.'),
    comment: z.string().nullable(),
    approvals_needed: z.int().describe('How many must approve, by tokens of different names.'),
    approved_by: z.array(z.string()).readonly().describe('Who has.'),
    approvers: z
      .array(z.string())
      .readonly()
      .nullable()
      .describe('Groups of which those who approve must be members; null for anybody.'),
    votes: z
      .array(
        z.object({
          principal: z.string(),
          verdict: z.enum(['approve', 'deny']),
          at: z.string(),
          comment: z.string().nullable(),
          break_glass: z.boolean().describe('It sufficed alone, in an emergency.'),
        }),
      )
      .readonly()
      .describe('In the order in which they were given.'),
    grant: z
      .object({
        until: z.string().describe('Until when the statement may be run, once.'),
        consumed_at: z.string().nullable(),
        consumed_by: z.string().nullable().describe('The session that has run it.'),
      })
      .nullable()
      .describe('Once it is approved.'),
    binding: z
      .object({
        runs_as: z.string().nullable().describe('Whose rights the session has.'),
        search_path: z.string().nullable(),
        schema_sha256: z.string().nullable().describe('Of the tables and functions that it names.'),
        rows: z
          .int()
          .nullable()
          .describe('How many it would change, where that was known when it was asked.'),
        rows_tolerance: z.string().describe('How many more or fewer it may change: a number, or a share.'),
        without_snapshot: z.string().nullable().describe('Why there will be no snapshot of it.'),
      })
      .describe('What must be as it was when the statement runs; null is not known.'),
    drift: z
      .array(z.string())
      .readonly()
      .describe('How it differs from what was approved of the same statement before.'),
    session: z.string(),
    role: z.string(),
    database: z.string(),
    application: z.string().describe("The client's own word."),
    client: z.string(),
    statement: z.string().describe('Passwords masked; cut where it is long: `/statement` has more of it.'),
    statement_end: z.string().describe('How it ends, where it is cut; else empty.'),
    statement_bytes: z
      .int()
      .nullable()
      .describe('Of the whole; null is not known. It is cut where `statement` has fewer.'),
    statement_sha256: z.string().describe('Of the whole.'),
    parameters: z.int().describe('How many parameters were bound.'),
    operation: z.string(),
    risk,
    reasons: z.array(z.string()).readonly(),
    tables: z.array(z.string()).readonly(),
    rule: z.string(),
    reason: z.string(),
  })
  .meta({ id: 'Approval' });

const query = z.strictObject({
  state: z.enum(APPROVAL_STATES).optional(),
  limit,
  cursor: z.string().regex(ID, CURSOR).optional(),
  spread: z
    .literal('role')
    .optional()
    .describe(
      'Of all that is pending as many of each role, the oldest of each, where there are more than `limit`. There is no `cursor` then, and `next` says no more than that there are others.',
    ),
});

const decision = z
  .strictObject({
    comment: z.string().max(2000).optional().describe('Kept; that of a denial is told to the client.'),
  })
  .nullish();

const approving = z
  .strictObject({
    comment: z.string().max(2000).optional().describe('Kept.'),
    preview_computed_at: z
      .string()
      .max(100)
      .optional()
      .describe(
        '`computed_at` of the preview that was looked at: where there is another by now, it is a 409.',
      ),
  })
  .nullish();

/** Who is held, and the word that lets go. */
export function approvalRoutes(app: AdminApp, { approvals }: Pick<AdminDeps, 'approvals'>): void {
  app.get(
    '/v1/approvals',
    {
      config: { scope: 'approval:read' },
      schema: {
        summary: `List approvals, the newest first, with up to ${LIMITS.approvalListChars} characters of each statement`,
        ...secured('approval:read'),
        querystring: query,
        response: { 200: pageOf(approvalSchema), ...tokenProblems, 503: problemSchema },
      },
    },
    async ({ query: { state, cursor, limit, spread } }) => {
      const isSpread = spread === 'role';
      if (isSpread && (cursor !== undefined || (state ?? 'pending') !== 'pending'))
        throw new RequestProblem('bad-request', {
          detail: 'spread goes with no cursor, and with no state but pending',
        });
      const list = await approvals.list({
        state: state ?? null,
        before: cursor ?? null,
        limit,
        spread: isSpread,
      });
      return { items: list.items.map(approvalJson), next: list.next };
    },
  );
  app.get(
    '/v1/approvals/:id',
    {
      config: { scope: 'approval:read' },
      schema: {
        summary: 'Show an approval',
        ...secured('approval:read'),
        params: z.object({ id }),
        response: { 200: approvalSchema, ...tokenProblems, 404: problemSchema, 503: problemSchema },
      },
    },
    async ({ params }) => approvalJson(await approvals.get(params.id)),
  );
  statementRoute(app, approvals);
  approveRoute(app, approvals);
  denyRoute(app, approvals);
  breakGlassRoute(app, approvals);
}

/** Apart, so that lists of long statements stay short. */
function statementRoute(app: AdminApp, approvals: AdminDeps['approvals']): void {
  app.get(
    '/v1/approvals/:id/statement',
    {
      config: { scope: 'approval:read' },
      schema: {
        summary: 'Show the statement of an approval, as much of it as is kept',
        ...secured('approval:read'),
        params: z.object({ id }),
        response: {
          200: z.object({
            id,
            statement: z.string().describe(`Passwords masked; cut at ${LIMITS.approvalTextBytes} bytes.`),
            statement_bytes: z.int().nullable().describe('Of the whole; null is not known.'),
            statement_sha256: z.string().describe('Of the whole.'),
          }),
          ...tokenProblems,
          404: problemSchema,
          503: problemSchema,
        },
      },
    },
    async ({ params }) => {
      const { statementBytes, statementSha256 } = await approvals.get(params.id);
      const statement = await approvals.text(params.id);
      return {
        id: params.id,
        statement,
        statement_bytes: statementBytes,
        statement_sha256: statementSha256,
      };
    },
  );
}

const DECIDED = {
  200: approvalSchema,
  ...tokenProblems,
  404: problemSchema,
  409: problemSchema,
  415: problemSchema,
  503: problemSchema,
} as const;

/** The answer comes once the decision is durable. The same decision again is answered alike; another is a 409. An
 * approval that is not the last that is needed is answered with what it is: pending. */
function approveRoute(app: AdminApp, approvals: AdminDeps['approvals']): void {
  app.post(
    '/v1/approvals/:id/approve',
    {
      config: { scope: 'approval:write' },
      schema: {
        summary: 'Let a held statement run',
        ...secured('approval:write'),
        params: z.object({ id }),
        body: approving,
        response: DECIDED,
      },
    },
    async ({ params, body, principal, ip }) => {
      const lookedAt = body?.preview_computed_at ?? null;
      const decider = { ...deciderOf(principal, body?.comment ?? null, false), lookedAt };
      return approvalJson(await approvals.decide(params.id, 'approve', decider, ip));
    },
  );
}

function denyRoute(app: AdminApp, approvals: AdminDeps['approvals']): void {
  app.post(
    '/v1/approvals/:id/deny',
    {
      config: { scope: 'approval:write' },
      schema: {
        summary: 'Refuse a held statement',
        ...secured('approval:write'),
        params: z.object({ id }),
        body: decision,
        response: DECIDED,
      },
    },
    async ({ params, body, principal, ip }) => {
      const decider = deciderOf(principal, body?.comment ?? null, false);
      return approvalJson(await approvals.decide(params.id, 'deny', decider, ip));
    },
  );
}

/** For emergencies: one person suffices, whatever number and groups the rule asks for, and has to say why. */
function breakGlassRoute(app: AdminApp, approvals: AdminDeps['approvals']): void {
  app.post(
    '/v1/approvals/:id/break-glass',
    {
      config: { scope: 'approval:break_glass' },
      schema: {
        summary: 'Let a held statement run in an emergency, alone',
        ...secured('approval:break_glass'),
        params: z.object({ id }),
        body: z.strictObject({
          reason: z.string().trim().min(1).max(2000).describe('Kept, and logged.'),
        }),
        response: DECIDED,
      },
    },
    async ({ params, body, principal, ip }) => {
      const decider = deciderOf(principal, body.reason, true);
      return approvalJson(await approvals.decide(params.id, 'approve', decider, ip));
    },
  );
}

export function deciderOf(principal: Token | null, comment: string | null, breakGlass: boolean): Decider {
  // Routes with a scope have a principal; without one it would be nobody's decision.
  if (principal === null) throw new RequestProblem('unauthorized');
  const { name: by, person, subject = null, roles, groups } = principal;
  return { by, person, subject, comment, lookedAt: null, roles, groups, breakGlass };
}

function approvalJson(approval: Approval): z.infer<typeof approvalSchema> {
  return {
    id: approval.id,
    state: approval.state,
    mode: approval.mode,
    created_at: timeText(approval.createdAtMs),
    expires_at: timeText(approval.expiresAtMs),
    resolved_at: approval.resolvedAtMs === null ? null : timeText(approval.resolvedAtMs),
    resolved_by: approval.resolvedBy,
    comment: approval.comment,
    approvals_needed: approval.approvalsNeeded,
    approved_by: approval.votes.flatMap((vote) => (vote.verdict === 'approve' ? [vote.principal] : [])),
    approvers: approval.approvers,
    votes: approval.votes.map(voteJson),
    grant: grantJson(approval.grant),
    binding: bindingJson(approval.binding),
    drift: approval.drift,
    session: approval.sessionId,
    role: approval.role,
    database: approval.database,
    application: approval.application,
    client: approval.client,
    statement: approval.statement,
    statement_end: approval.statementEnd,
    statement_bytes: approval.statementBytes,
    statement_sha256: approval.statementSha256,
    parameters: approval.parameters,
    operation: approval.operation,
    risk: approval.risk,
    reasons: approval.reasons,
    tables: approval.tables,
    rule: approval.rule,
    reason: approval.reason,
  };
}

type ApprovalJson = z.infer<typeof approvalSchema>;

function voteJson({ principal, verdict, atMs, comment, breakGlass }: Vote): ApprovalJson['votes'][number] {
  return { principal, verdict, at: timeText(atMs), comment, break_glass: breakGlass };
}

function grantJson(grant: Grant | null): ApprovalJson['grant'] {
  if (grant === null) return null;
  const { untilMs, consumedAtMs, consumedBy } = grant;
  return {
    until: timeText(untilMs),
    consumed_at: consumedAtMs === null ? null : timeText(consumedAtMs),
    consumed_by: consumedBy,
  };
}

function bindingJson(binding: Binding): ApprovalJson['binding'] {
  return {
    runs_as: binding.runsAs,
    search_path: binding.searchPath,
    schema_sha256: binding.schemaSha256,
    rows: binding.rows,
    rows_tolerance: formatRowsTolerance(binding.rowsTolerance),
    without_snapshot: binding.withoutSnapshot,
  };
}
