import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type ErrorCode, HoldfastError } from '../base/errors.ts';
import { maskSecrets } from '../base/log.ts';
import type { AdminDeps } from './deps.ts';

/** An error as RFC 9457 has it. */
export const problemSchema = z
  .object({
    type: z.string().describe('`urn:holdfast:problem:` and a name that programs may rely on.'),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional().describe('What happened this time.'),
    hint: z.string().optional().describe('What to do about it.'),
    errors: z
      .array(z.object({ field: z.string(), message: z.string() }))
      .optional()
      .describe('What is wrong with the request, field by field.'),
    tables: z.array(z.unknown()).optional().describe('Of an undo: the counts of each table.'),
    conflicts: z.array(z.unknown()).optional().describe('Of an undo: the rows that have changed since.'),
    problems: z.array(z.unknown()).optional().describe('Of an undo: what is in its way, table by table.'),
    sqlstate: z.string().nullable().optional().describe('Of an undo: what the database said.'),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problemSchema>;

const TITLES = {
  'bad-request': [400, 'The request is not valid'],
  unauthorized: [401, 'A valid token is needed'],
  forbidden: [403, 'The token does not allow this'],
  'not-found': [404, 'There is no such thing'],
  'method-not-allowed': [405, 'This is not done by that method'],
  conflict: [409, 'It has been decided otherwise'],
  'too-large': [413, 'The request is too large'],
  'unsupported-media-type': [415, 'Only JSON is understood'],
  'misdirected-request': [421, 'This host is not answered for'],
  paused: [409, 'The gateway is paused'],
  'undo-not-configured': [409, 'Undo over HTTP is not configured'],
  'undo-conflicts': [409, 'Rows have changed since the statement'],
  'undo-refused': [409, 'It cannot be undone as things are'],
  'snapshot-damaged': [422, 'The snapshot is not as it was written'],
  'undo-failed': [502, 'The database did not let it be done'],
  'policy-invalid': [422, 'The file is not valid; what was in force stays'],
  'too-many-requests': [429, 'Too many requests'],
  internal: [500, 'The gateway made a mistake'],
  unavailable: [503, 'The gateway cannot do this now'],
} as const satisfies Record<string, readonly [number, string]>;
export type ProblemName = keyof typeof TITLES;

/** An answer that is a problem, thrown by hooks and routes. */
export class RequestProblem extends Error {
  readonly problem: ProblemName;
  readonly facts: Omit<Problem, 'type' | 'title' | 'status'>;

  constructor(problem: ProblemName, facts: RequestProblem['facts'] = {}) {
    super(TITLES[problem][1]);
    this.problem = problem;
    this.facts = facts;
  }
}

const PROBLEM_OF_CODE: Partial<Record<ErrorCode, ProblemName>> = {
  NOT_FOUND: 'not-found',
  CONFLICT: 'conflict',
  APPROVER_REFUSED: 'forbidden',
  PAUSED: 'paused',
  POLICY_INVALID: 'policy-invalid',
  CONFIG_INVALID: 'policy-invalid',
  STORE_FAILED: 'unavailable',
  BLOB_NOT_FOUND: 'snapshot-damaged',
  BLOB_DAMAGED: 'snapshot-damaged',
  BLOBS_FULL: 'unavailable',
  BLOBS_REFUSED: 'unavailable',
  BLOBS_FAILED: 'unavailable',
  SHUTTING_DOWN: 'unavailable',
  OIDC_FAILED: 'unavailable',
};

export function problemHandler(log: AdminDeps['log']) {
  return (
    error: FastifyError | HoldfastError | RequestProblem,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => {
    const { problem, facts } = describe(error);
    if (problem === 'internal') log.error({ error, url: request.routeOptions.url }, 'a request failed');
    return sendProblem(reply, problem, facts);
  };
}

export function sendProblem(reply: FastifyReply, name: ProblemName, facts: RequestProblem['facts'] = {}) {
  const [status, title] = TITLES[name];
  const body: Problem = { type: `urn:holdfast:problem:${name}`, title, status, ...facts };
  // Serialised here, so that a problem looks the same whatever the route's own schemas are.
  return reply
    .code(status)
    .type('application/problem+json')
    .serializer((one: unknown) => JSON.stringify(one))
    .send(body);
}

function describe(
  error: FastifyError | HoldfastError | RequestProblem,
): Pick<RequestProblem, 'problem' | 'facts'> {
  if (error instanceof RequestProblem) return error;
  if (error instanceof HoldfastError) {
    const problem = PROBLEM_OF_CODE[error.code];
    if (problem === undefined) return { problem: 'internal', facts: {} };
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return { problem, facts: { detail: maskSecrets(error.message), ...hint } };
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const errors = error.validation.map((issue) => ({
      field: issue.instancePath.slice(1).replaceAll('/', '.'),
      message: issue.message ?? 'is not valid',
    }));
    return { problem: 'bad-request', facts: { errors } };
  }
  switch (error.statusCode) {
    case 413:
      return { problem: 'too-large', facts: {} };
    case 415:
      return { problem: 'unsupported-media-type', facts: {} };
    case 400:
      return { problem: 'bad-request', facts: { detail: error.message } };
    default:
      return { problem: 'internal', facts: {} };
  }
}
