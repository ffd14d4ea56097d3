import { z } from 'zod';
import { LIMITS } from '../../base/limits.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { liveNumbers } from '../live-numbers.ts';
import { problemSchema, RequestProblem } from '../problems.ts';
import { secured, tokenProblems } from '../route-schema.ts';
import { grants, holds, type Token } from '../tokens.ts';

/** Server-sent events. A stream ends with the token that it was opened with, and where its reader does not keep up. */
export function eventsRoute(app: AdminApp, deps: AdminDeps): void {
  const { events, metrics } = deps;
  app.get(
    '/v1/events',
    {
      config: { scope: 'approval:read' },
      exposeHeadRoute: false,
      schema: {
        summary: 'Watch approvals and the state of the gateway, as server-sent events',
        ...secured('approval:read'),
        produces: ['text/event-stream'],
        headers: z.object({ 'last-event-id': z.string().max(100).optional() }),
        response: { 200: z.string(), ...tokenProblems, 503: problemSchema },
      },
    },
    (request, reply) => {
      if (events.listening >= LIMITS.adminStreamsMax) {
        throw new RequestProblem('unavailable', { detail: 'too many streams are open' });
      }
      const principal = request.principal!;
      if (events.listeningBy(principal.name) >= LIMITS.adminStreamsOfOneMax) {
        throw new RequestProblem('unavailable', { detail: `${principal.name} has too many streams open` });
      }
      const watchesStatus = grants(principal, 'metadata:read');
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, { ...reply.getHeaders(), 'content-type': 'text/event-stream' } as Record<
        string,
        string
      >);
      const send = (frame: string) => {
        raw.write(frame);
        if (raw.writableLength > LIMITS.adminStreamBytes) raw.destroy();
      };
      send(events.since(request.headers['last-event-id'] ?? null));
      const beat = () => {
        if (!stillHolds(principal, deps)) raw.end();
        else if (watchesStatus) send(`event: status\ndata: ${JSON.stringify(liveNumbers(metrics))}\n\n`);
        else send(': still here\n\n');
      };
      beat();
      const timer = setInterval(beat, LIMITS.adminStreamBeatMs).unref();
      const leave = events.listen(
        (frame) => (stillHolds(principal, deps) ? send(frame) : raw.end()),
        principal.name,
      );
      raw.once('close', () => {
        clearInterval(timer);
        leave();
      });
    },
  );
}

/** Whether a token has neither ended nor been taken away, in whole or in part, since the stream was opened. */
function stillHolds(principal: Token, deps: Pick<AdminDeps, 'tokens' | 'oidc'>): boolean {
  if (principal.source === 'oidc') return deps.oidc() !== null && holds(principal, Date.now());
  const now = deps.tokens().find(({ sha256 }) => sha256 === principal.sha256);
  return now !== undefined && holds(now, Date.now()) && String(now.scopes) === String(principal.scopes);
}
