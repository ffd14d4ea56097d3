import { z } from 'zod';
import type { Approval } from '../../approval/approval.ts';
import { whyNotApprove } from '../../approval/approver.ts';
import { unreachable } from '../../base/assert.ts';
import { LIMITS } from '../../base/limits.ts';
import type { AskedAgain, PreviewFound } from '../../preview/results.ts';
import { withoutParameters, withParameterValues } from '../../preview/withheld.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema, RequestProblem } from '../problems.ts';
import { secured, tokenProblems } from '../route-schema.ts';
import { grants, type Token } from '../tokens.ts';
import { deciderOf, id } from './approvals.ts';

const unknown = z.object({
  kind: z.literal('unknown'),
  reason: z.string().describe('Reads behind "because". What is not known is never shown as none.'),
});

const count = z.union([
  z.object({ kind: z.literal('exact'), rows: z.number() }),
  z.object({ kind: z.literal('at_least'), rows: z.number().describe('Where the count was stopped.') }),
  z.object({
    kind: z.literal('estimate'),
    rows: z.number(),
    reason: z.string().describe('Why there is no count.'),
  }),
  unknown,
]);

const values = z.array(z.string().nullable()).readonly();

const sample = z.union([
  z.object({
    kind: z.literal('rows'),
    table: z.string(),
    columns: z
      .array(
        z.object({
          name: z.string(),
          type: z.string(),
          masked: z.boolean(),
          assigned: z.boolean(),
          withheld: z
            .enum(['mask', 'parameters'])
            .nullable()
            .describe(
              'Why `after` has no value of it: it may tell of a masked column, or, without the scope `approval:parameters`, of parameters.',
            ),
        }),
      )
      .readonly(),
    rows: z
      .array(
        z.object({
          before: values.describe('One for each column; null where it is NULL or masked.'),
          after: values
            .nullable()
            .describe(
              'Null where the row goes, or what it becomes is not known; null for each column that is withheld.',
            ),
        }),
      )
      .readonly(),
    after: z.enum(['removed', 'computed', 'unknown']),
    after_reason: z.string().nullable().describe('Why `after` is not known, or may be another in the end.'),
    more: z.boolean(),
  }),
  unknown,
]);

const cascades = z.union([
  z.object({
    kind: z.literal('tree'),
    nodes: z
      .array(
        z.object({
          id: z.int(),
          parent: z.int().nullable().describe("Null for what follows from the statement's own rows."),
          constraint: z.string(),
          schema: z.string(),
          table: z.string(),
          change: z.enum(['delete', 'update']),
          columns: z.array(z.string()).readonly(),
          level: z.int(),
          rows: count,
        }),
      )
      .readonly(),
  }),
  unknown,
]);

const triggers = z.union([
  z.object({
    kind: z.literal('list'),
    items: z
      .array(
        z.object({
          table: z.string(),
          name: z.string(),
          function: z.string(),
          timing: z.string(),
          level: z.string(),
          events: z.array(z.string()).readonly(),
        }),
      )
      .readonly(),
  }),
  unknown,
]);

const sessions = z.union([
  z.object({
    kind: z.literal('list'),
    items: z
      .array(
        z.object({
          pid: z.int(),
          role: z.string().nullable(),
          application: z.string().nullable(),
          state: z.string().nullable(),
          table: z.string(),
          mode: z.string(),
          relation: z
            .enum(['holds', 'waits'])
            .describe('It holds what the statement would wait for, or waits in front of it.'),
          transaction_s: z.number().nullable(),
        }),
      )
      .readonly(),
    more: z.boolean(),
  }),
  unknown,
]);

const preview = z.object({
  computed_at: z.string(),
  took_ms: z.number(),
  rows: count.describe('Rows of the tables that the statement names.'),
  rows_bound: z
    .enum(['set', 'number'])
    .nullable()
    .describe(
      'What of these rows an approval is bound to, within the tolerance: `set` which they are, `number` only how many. Null: neither is known, so that it may change any.',
    ),
  tables: z
    .array(
      z.object({
        schema: z.string(),
        name: z.string(),
        kind: z.string(),
        cause: z.enum(['target', 'cascade']),
        bytes: z.number().nullable(),
        estimated_rows: z.number().nullable(),
      }),
    )
    .readonly(),
  sample,
  cascades,
  triggers,
  locks: z.union([
    z.object({
      kind: z.literal('level'),
      mode: z.string(),
      blocks: z.string().describe('What others cannot do meanwhile.'),
      sessions,
    }),
    unknown,
  ]),
  undo: z.object({ possible: z.enum(['yes', 'no', 'unknown']), reason: z.string() }),
  parameters: z.object({
    count: z.int(),
    values: values
      .nullable()
      .describe('In text. Null without the scope `approval:parameters`, and where they are not known.'),
  }),
});

const answer = z
  .object({
    state: z.enum(['pending', 'ready', 'none']).describe('`none`: there is none, and there will be none.'),
    preview: preview.nullable(),
  })
  .meta({ id: 'Preview' });

/** What a held statement would do, as the server was asked while it was held, and once more. */
export function previewRoutes(
  app: AdminApp,
  { approvals, previews }: Pick<AdminDeps, 'approvals' | 'previews'>,
): void {
  app.get(
    '/v1/approvals/:id/preview',
    {
      config: { scope: 'approval:read' },
      schema: {
        summary: 'Show what a held statement would do',
        ...secured('approval:read'),
        params: z.object({ id }),
        response: { 200: answer, ...tokenProblems, 404: problemSchema, 503: problemSchema },
      },
    },
    async ({ params, principal }) => {
      await approvals.get(params.id);
      return answerTo(principal, await previews.find(params.id));
    },
  );
  app.post(
    '/v1/approvals/:id/preview',
    {
      config: { scope: 'approval:write' },
      schema: {
        summary:
          'Find out once more what a held statement would do, while a session waits for it and nobody has approved it',
        ...secured('approval:write'),
        params: z.object({ id }),
        response: {
          200: answer,
          ...tokenProblems,
          404: problemSchema,
          409: problemSchema,
          503: problemSchema,
        },
      },
    },
    async ({ params: { id }, principal }) => {
      const approval = await approvals.get(id);
      const why = whyNotApprove(approval, deciderOf(principal, null, false));
      if (why !== null) throw new RequestProblem('forbidden', { detail: why });
      demandUnvoted(approval);
      const late = AbortSignal.timeout(LIMITS.previewAgainMs);
      const over = new Promise<null>((resolve) => {
        late.addEventListener('abort', () => resolve(null), { once: true });
      });
      const found = await Promise.race([previews.again(id), over]);
      if (found === null) return { state: 'pending' as const, preview: null };
      if (found.kind !== 'ready') throw new RequestProblem('conflict', factsOf(found));
      // To write is not to read.
      const mayLook = principal !== null && grants(principal, 'approval:read');
      return mayLook
        ? answerTo(principal, await previews.find(id))
        : { state: 'ready' as const, preview: null };
    },
  );
}

/** Whoever has approved it has seen what was counted before. */
function demandUnvoted({ id, state, votes }: Approval): void {
  if (state !== 'pending')
    throw new RequestProblem('conflict', { detail: `approval ${id} is ${state} already` });
  const [first] = votes;
  if (first === undefined) return;
  throw new RequestProblem('conflict', {
    detail: `${first.principal} has decided by what was found before, which stays as it is`,
  });
}

function factsOf(found: Exclude<AskedAgain, { readonly kind: 'ready' }>): RequestProblem['facts'] {
  switch (found.kind) {
    case 'idle':
      return {
        detail: 'no session waits for it, so that the server cannot be asked with its rights and settings',
        hint: 'The rows are counted again when it runs, and it is held again where they have drifted.',
      };
    case 'busy':
      return { detail: 'it is being found out already', hint: 'Look at the preview in a moment.' };
    case 'kept':
      return {
        detail: `the rows could not be counted again (${found.reason}); what was counted before stands`,
      };
    default:
      return unreachable(found);
  }
}

function answerTo(principal: Token | null, found: PreviewFound): z.infer<typeof answer> {
  if (found.state !== 'ready') return { state: found.state, preview: null };
  const showsValues = principal !== null && grants(principal, 'approval:parameters');
  const show = showsValues ? withParameterValues : withoutParameters;
  return { state: 'ready', preview: show(found.preview) };
}
