import type { RouteOptions } from 'fastify';
import { z } from 'zod';
import { LIMITS } from '../base/limits.ts';
import { problemSchema } from './problems.ts';
import type { RouteScope } from './tokens.ts';

/** What every route that needs a token says of itself in the OpenAPI document. */
export function secured(scope: RouteScope) {
  return { security: [{ bearer: [scope] }], description: `Needs the scope \`${scope}\`.` };
}

/** The problems that any route with a token may answer with. */
export const tokenProblems = {
  400: problemSchema,
  401: problemSchema,
  403: problemSchema,
  429: problemSchema,
} as const;

/** What all routes of the API have in common: a field that is not known is an error, and what a body may be answered with. */
export function completeSchema(route: RouteOptions): void {
  const { schema } = route;
  if (schema === undefined || !route.url.startsWith('/v1/')) return;
  schema.querystring ??= z.strictObject({});
  if (schema.body === undefined) return;
  const responses = schema.response as Record<number, z.ZodType> | undefined;
  schema.response = { ...responses, 413: problemSchema, 415: problemSchema };
}

/** A page of a list: the newest first. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item).readonly(),
    next: z.string().nullable().describe('The `cursor` of the next page, or null at the end.'),
  });
}

const PAGE = `expected a whole number from 1 to ${LIMITS.adminPageMax}`;
export const limit = z.coerce.number(PAGE).int(PAGE).min(1, PAGE).max(LIMITS.adminPageMax, PAGE).default(50);

export const CURSOR = 'expected what a page of this list has in next';

export const risk = z.enum(['safe', 'low', 'high', 'critical', 'forbidden']);
export const action = z.enum(['allow', 'snapshot', 'hold', 'block']);

/** RFC 3339, as milliseconds since the epoch; a date alone is its first moment in UTC. */
export const instant = z
  .union(
    [z.iso.datetime({ offset: true }), z.iso.date()],
    'expected a day, like 2026-01-31, or a time with its zone, like 2026-01-31T12:00:00Z',
  )
  .transform((text) => Date.parse(text))
  .pipe(z.number());

export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
