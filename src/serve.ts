import { join } from 'node:path';
import { createLogger, type Logger } from './base/log.ts';
import type { Config, Upstream } from './config/config.ts';
import { formatEndpoint } from './config/endpoint.ts';
import { type Embedded, startEmbedded } from './embedded/embedded.ts';
import { SAMPLE_HBA, SAMPLE_SCRIPTS } from './embedded/sample.ts';
import { welcome } from './embedded/welcome.ts';
import { type Gateway, startGateway } from './gateway.ts';

const EMBEDDED_DATA = join('data', 'postgres');

interface ServeIo {
  out(text: string): void;
  readonly stop: AbortSignal;
}

/**
 * Runs the gateway until it is told to stop, with a PostgreSQL of its own where no upstream is configured. Returns
 * the exit code. SIGHUP reads policy and tokens again.
 */
export async function serve(config: Config, io: ServeIo): Promise<0 | 1> {
  const log = createLogger(config.log.level);
  for (const { source, line, message } of config.warnings) log.warn({ source, line }, message);
  const embedded = config.upstream === null ? await startSample() : null;
  let gateway: Gateway;
  try {
    gateway = await startGateway(config, config.upstream ?? upstreamOf(embedded!), log);
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
  io.out(
    welcome({
      listen: gateway.listen,
      adminListen: gateway.adminListen,
      token: gateway.firstToken,
      embedded,
      upstream: formatEndpoint(config.upstream ?? embedded!),
    }),
  );
  log.info({ listen: gateway.listen, admin: gateway.adminListen }, 'the gateway is ready');
  const code = await untilStopped(gateway, embedded, io.stop, log);
  log.info('draining');
  await gateway.stop();
  await embedded?.stop();
  log.info('stopped');
  return code;
}

function startSample(): Promise<Embedded> {
  return startEmbedded({ dataDir: EMBEDDED_DATA, hba: SAMPLE_HBA, scripts: SAMPLE_SCRIPTS });
}

function upstreamOf(embedded: Embedded): Upstream {
  return {
    host: embedded.host,
    port: embedded.port,
    ssl: { mode: 'disable', negotiation: 'postgres', rootCert: null, client: null },
  };
}

/** Resolves with the exit code: 0 where a person asked for the end, 1 where the sample server died. */
async function untilStopped(
  gateway: Gateway,
  embedded: Embedded | null,
  stop: AbortSignal,
  log: Logger,
): Promise<0 | 1> {
  const reload = () => void gateway.reload();
  process.on('SIGHUP', reload);
  const { promise, resolve } = Promise.withResolvers<0 | 1>();
  if (stop.aborted) resolve(0);
  stop.addEventListener('abort', () => resolve(0), { once: true });
  void embedded?.exited.then(() => {
    if (!stop.aborted) log.error('the embedded PostgreSQL server has ended');
    resolve(1);
  });
  const code = await promise;
  process.off('SIGHUP', reload);
  return code;
}
