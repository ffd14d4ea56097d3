import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';

/**
 * Gives each answer to a GET under /v1 a mark of what it says, and answers with 304 whoever has that already: a list that
 * is polled costs its reader nothing as long as nothing has changed.
 */
export async function answerWithTag(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
): Promise<unknown> {
  const isTagged = request.method === 'GET' && reply.statusCode === 200 && request.url.startsWith('/v1/');
  if (!isTagged || typeof payload !== 'string') return payload;
  const tag = `"${createHash('sha256').update(payload).digest('base64url').slice(0, 27)}"`;
  reply.header('etag', tag);
  if (!isKnown(tag, request.headers['if-none-match'])) return payload;
  reply.code(304).removeHeader('content-type').removeHeader('content-length');
  return null;
}

function isKnown(tag: string, given: string | undefined): boolean {
  if (given === undefined) return false;
  // A proxy that compresses makes a weak mark of it.
  return given.split(',').some((one) => one.trim().replace(/^W\//, '') === tag);
}
