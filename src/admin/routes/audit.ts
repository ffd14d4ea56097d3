import { z } from 'zod';
import type { AuditFilter } from '../../audit/filter.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema } from '../problems.ts';
import { action, CURSOR, instant, limit, pageOf, risk, secured, tokenProblems } from '../route-schema.ts';

const end = z.enum(['completed', 'suspended', 'failed', 'blocked', 'not-run', 'lost']);

const eventSchema = z
  .object({
    id: z.string().describe('The sequence number: events are numbered in the order in which they ended.'),
    time: z.string().describe('When the statement was taken up; UTC, with microseconds.'),
    session: z.string(),
    role: z.string(),
    database: z.string(),
    application: z.string(),
    client: z.string(),
    sql: z.string().nullable().describe('Passwords masked.'),
    sql_truncated: z.boolean(),
    sql_sha256: z.string().nullable().describe('Of all of the text, also where `sql` is cut.'),
    statement_index: z.int(),
    parameters: z.int(),
    protocol: z.enum(['simple', 'extended', 'function', 'admin']),
    operation: z.string(),
    operations: z.array(z.string()).readonly(),
    tables: z.array(z.string()).readonly(),
    risk,
    reasons: z.array(z.string()).readonly(),
    problem: z.string().nullable(),
    action,
    would_be: z.enum(['snapshot', 'hold', 'block']).nullable(),
    draft: z
      .object({ rule: z.string(), action })
      .nullable()
      .describe('What a rule that is only a draft would have done.'),
    rows_counted: z
      .union([
        z.object({ least: z.number(), most: z.number().nullable() }),
        z.object({ unknown: z.string().describe('Why they were not counted.') }),
      ])
      .nullable()
      .describe('How many rows it was decided by, where policy hung on their number.'),
    rule: z.string(),
    reason: z.string(),
    snapshot: z.string().nullable(),
    approval_id: z.string().nullable(),
    hold_ms: z.number(),
    end,
    rows: z.number().nullable(),
    sqlstate: z.string().nullable(),
    duration_ms: z.number().nullable(),
    transaction_status: z.enum(['I', 'T', 'E']).nullable(),
    context: z.record(z.string(), z.string()).readonly(),
  })
  .meta({ id: 'AuditEvent' });

const word = z.string().min(1).max(300);

const query = z.strictObject({
  session: word.optional(),
  role: word.optional(),
  database: word.optional(),
  application: z.string().max(300).optional(),
  client: word.optional().describe('An address, with or without its port.'),
  operation: word.optional(),
  risk: risk.optional(),
  action: action.optional(),
  rule: word.optional(),
  table: word.optional().describe('With its schema, or in any.'),
  sqlstate: z
    .string()
    .regex(/^[0-9A-Z]{5}$/, 'expected the five characters of an SQLSTATE, like 42501')
    .optional(),
  end: end.optional(),
  approval_id: word.optional(),
  text: word.optional().describe('A part of the SQL, in any case of letters.'),
  since: instant.optional().describe('From this time on.'),
  until: instant.optional().describe('Before this time.'),
  limit,
  cursor: z
    .string()
    .regex(/^[1-9]\d{0,14}$/, CURSOR)
    .optional(),
});

export function auditRoute(app: AdminApp, { audit }: Pick<AdminDeps, 'audit'>): void {
  app.get(
    '/v1/audit',
    {
      config: { scope: 'audit:read' },
      schema: {
        summary: 'Search the audit, the newest first',
        ...secured('audit:read'),
        querystring: query,
        response: { 200: pageOf(eventSchema), ...tokenProblems, 503: problemSchema },
      },
    },
    ({ query: { limit, cursor, ...asked } }) =>
      audit.search({ filter: filterOf(asked), cursor: cursor ?? null, limit }),
  );
}

type Asked = Omit<z.infer<typeof query>, 'limit' | 'cursor'>;

function filterOf({ approval_id, since, until, ...same }: Asked): AuditFilter {
  const all = { ...same, approvalId: approval_id, sinceMs: since, untilMs: until };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) satisfies AuditFilter;
}
