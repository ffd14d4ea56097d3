import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import { Rates } from '../base/rates.ts';
import type { AdminDeps } from './deps.ts';
import { RequestProblem } from './problems.ts';
import { findToken, grants, type RouteScope, type Token } from './tokens.ts';
import { WrongTokens } from './wrong-tokens.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a token must allow; `any` needs one of whatever scope, `open` none. A route that says nothing is refused. */
    scope?: RouteScope | 'any' | 'open';
  }
  interface FastifyRequest {
    /** Who asks, or null on open routes. */
    principal: Token | null;
  }
}

/** The hook that lets a request through to its route, or throws the problem with it. */
export function authenticator(deps: Pick<AdminDeps, 'tokens' | 'oidc' | 'hostNames'>) {
  const wrongTokens = new WrongTokens();
  const rates = new Rates({
    atOnce: LIMITS.adminRequestsAtOnce,
    perS: LIMITS.adminRequestsPerS,
    namesMax: LIMITS.adminPrincipalsMax,
  });
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (deps.hostNames === 'loopback' && !isLoopbackName(request.host)) {
      throw new RequestProblem('misdirected-request', { detail: 'use 127.0.0.1 or localhost' });
    }
    const { scope } = request.routeOptions.config;
    if (request.is404 || scope === 'open') return;
    const secret = /^Bearer +([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (secret === undefined) {
      reply.header('www-authenticate', 'Bearer realm="holdfast"');
      throw new RequestProblem('unauthorized', { hint: 'Send the header Authorization: Bearer TOKEN.' });
    }
    const token = findToken(secret, deps.tokens(), Date.now()) ?? (await deps.oidc()?.verify(secret)) ?? null;
    if (token === null) return refuseWrongToken(wrongTokens, request, reply);
    const waitS = rates.take(token.name, nowMs());
    if (waitS > 0) {
      reply.header('retry-after', String(waitS));
      throw new RequestProblem('too-many-requests', {
        detail: `${token.name} asks too much; wait for ${waitS} s`,
      });
    }
    if (scope === undefined || (scope !== 'any' && !grants(token, scope))) {
      reply.header(
        'www-authenticate',
        `Bearer realm="holdfast", error="insufficient_scope", scope="${scope}"`,
      );
      throw new RequestProblem('forbidden', { detail: `the token ${token.name} has no scope ${scope}` });
    }
    request.principal = token;
  };
}

/** A right token is let through however many wrong ones came from its address: nobody can lock out another. */
async function refuseWrongToken(
  wrong: WrongTokens,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<never> {
  const { socket } = request;
  const { tooMany, delayMs, retryAfterS } = wrong.note(request.ip, socket, nowMs());
  if (delayMs === null) {
    socket.destroy();
  } else if (delayMs > 0) {
    await sleep(delayMs);
    wrong.answered(socket);
  }
  if (tooMany) {
    reply.header('retry-after', String(retryAfterS));
    throw new RequestProblem('too-many-requests', { detail: `wait for ${retryAfterS} s` });
  }
  reply.header('www-authenticate', 'Bearer realm="holdfast", error="invalid_token"');
  throw new RequestProblem('unauthorized', { detail: 'the token is unknown or has expired' });
}

/** Addresses are no names that somebody else could have given this machine. */
function isLoopbackName(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return (
    /^\[[0-9a-f:.]+\]$/.test(name) || /^\d+\.\d+\.\d+\.\d+$/.test(name) || /^(.+\.)?localhost$/.test(name)
  );
}
