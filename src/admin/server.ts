import swagger from '@fastify/swagger';
import { type FastifyInstance, fastify } from 'fastify';
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { LIMITS } from '../base/limits.ts';
import { AllowedMethods } from './allowed-methods.ts';
import { authenticator } from './authentication.ts';
import type { AdminDeps } from './deps.ts';
import { answerWithTag } from './etag.ts';
import { problemHandler, sendProblem } from './problems.ts';
import { completeSchema } from './route-schema.ts';
import { analyzeRoute } from './routes/analyze.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { auditRoute } from './routes/audit.ts';
import { consoleRoutes } from './routes/console.ts';
import { eventsRoute } from './routes/events.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoute } from './routes/metrics.ts';
import { policyRoutes } from './routes/policy.ts';
import { policyReplayRoute } from './routes/policy-replay.ts';
import { previewRoutes } from './routes/preview.ts';
import { pauseRoutes, quarantineRoutes } from './routes/restraints.ts';
import { signInRoute } from './routes/sign-in.ts';
import { snapshotRoutes } from './routes/snapshots.ts';
import { statusRoute } from './routes/status.ts';
import { tokenRoutes } from './routes/tokens.ts';
import { trashRoutes } from './routes/trash.ts';
import { undoRoutes } from './routes/undo.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { whoamiRoute } from './routes/whoami.ts';

export interface AdminServer {
  /** Resolves with the port, which the system chooses where 0 is asked for. */
  listen(where: { readonly host: string; readonly port: number }): Promise<number>;
  close(): Promise<void>;
}

/** Sent with every answer: nothing is for a browser to guess, to keep, to frame or to load more from. */
const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

/** The HTTP API over what the gateway can do. Nothing listens yet. */
export async function createAdminServer(deps: AdminDeps): Promise<AdminServer> {
  const app = fastify({
    bodyLimit: LIMITS.adminBodyBytes,
    requestTimeout: LIMITS.adminRequestMs,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: LIMITS.adminParameterLength },
  }).withTypeProvider<ZodTypeProvider>();
  app.server.maxConnections = LIMITS.adminConnectionsMax;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(problemHandler(deps.log));
  const allowed = new AllowedMethods();
  app.addHook('onRoute', (route) => allowed.add(route));
  app.setNotFoundHandler((request, reply) => {
    const methods = allowed.of(request.url.replace(/\?.*$/, ''));
    if (methods === '') return sendProblem(reply, 'not-found');
    return sendProblem(reply.header('allow', methods), 'method-not-allowed');
  });
  app.removeContentTypeParser('text/plain');
  app.decorateRequest('principal', null);
  const authenticate = authenticator(deps);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS);
    await authenticate(request, reply);
  });

  app.addHook('onSend', answerWithTag);
  app.addHook('onRoute', completeSchema);

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Holdfast', version: deps.status().version },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
  await app.register(async (routes: FastifyInstance) => {
    const typed = routes.withTypeProvider<ZodTypeProvider>();
    consoleRoutes(typed, deps);
    healthRoutes(typed, deps);
    metricsRoute(typed, deps);
    whoamiRoute(typed);
    signInRoute(typed, deps);
    tokenRoutes(typed, deps);
    eventsRoute(typed, deps);
    approvalRoutes(typed, deps);
    previewRoutes(typed, deps);
    auditRoute(typed, deps);
    analyzeRoute(typed, deps);
    policyRoutes(typed, deps);
    policyReplayRoute(typed, deps);
    webhookRoutes(typed, deps);
    statusRoute(typed, deps);
    pauseRoutes(typed, deps);
    quarantineRoutes(typed, deps);
    snapshotRoutes(typed, deps);
    trashRoutes(typed, deps);
    undoRoutes(typed, deps);
    typed.get('/openapi.json', { config: { scope: 'open' }, schema: { hide: true } }, () => app.swagger());
  });
  await app.ready();
  return {
    async listen(where) {
      await app.listen(where);
      const address = app.server.address();
      return typeof address === 'object' && address !== null ? address.port : where.port;
    },
    close: () => app.close(),
  };
}
