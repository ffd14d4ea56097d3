import { LIMITS } from './base/limits.ts';
import { createLogger, type Logger } from './base/log.ts';
import type { Config, Upstream } from './config/config.ts';
import { formatEndpoint } from './config/endpoint.ts';
import { type Embedded, startEmbedded } from './embedded/embedded.ts';
import { SAMPLE_DATA, SAMPLE_HBA, SAMPLE_SCRIPTS, sampleConnection } from './embedded/sample.ts';
import { welcome } from './embedded/welcome.ts';
import { type Gateway, startGateway } from './gateway.ts';

interface ServeIo {
  out(text: string): void;
  readonly stop: AbortSignal;
  readonly hurry: AbortSignal;
  endNow(signal: 'SIGTERM' | 'SIGKILL'): void;
}

/** What is left of a gateway that has stopped, such as a thread that waits for a disk, ends with the process by then. */
const LEFT_MS = 1_000;

/**
 * Runs the gateway until it is told to stop, with a PostgreSQL of its own where no upstream is configured. Returns
 * the exit code. SIGHUP reads policy, tokens and webhooks again. A fault that nothing has caught ends it as well: nobody knows
 * what state it left, but what has happened before is recorded.
 */
export async function serve(config: Config, io: ServeIo): Promise<0 | 1> {
  const log = createLogger(config.log.level);
  for (const { source, line, message } of config.warnings) log.warn({ source, line }, message);
  const embedded = config.upstream === null ? await startSample(io.stop) : null;
  if (embedded === 'stopped') return 0;
  let gateway: Gateway;
  try {
    gateway =
      embedded === null
        ? await startGateway(config, config.upstream!, log)
        : await startGateway(withSample(config, embedded), upstreamOf(embedded), log);
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
      snapshots: config.snapshotsTaken
        ? { place: config.snapshots, retention: config.snapshotsRetention }
        : null,
    }),
  );
  log.info({ listen: gateway.listen, admin: gateway.adminListen }, 'the gateway is ready');
  const faults = watchFaults(gateway, io, log);
  const code = await untilStopped(gateway, embedded, io.stop, faults.first, log);
  log.info('draining');
  io.hurry.addEventListener('abort', () => gateway.cut(), { once: true });
  try {
    await gateway.stop();
  } finally {
    await embedded?.stop();
    faults.unwatch();
    endWhatIsLeft(io, faults.seen() ? 'SIGKILL' : 'SIGTERM', log);
  }
  log.info('stopped');
  return faults.seen() ? 1 : code;
}

/** Fires only where something keeps the process alive. */
function endWhatIsLeft(io: ServeIo, signal: 'SIGTERM' | 'SIGKILL', log: Logger): void {
  setTimeout(() => {
    log.error({}, 'calls to a disk that does not answer are left: the process ends without them');
    io.endNow(signal);
  }, LEFT_MS).unref();
}

/** Sees to faults that nothing has caught, from now on: at each, the sessions are cut at once. */
function watchFaults(gateway: Gateway, io: ServeIo, log: Logger) {
  const { promise: first, resolve } = Promise.withResolvers<void>();
  let seen = false;
  const caught = (error: unknown): void => {
    log.fatal({ err: error }, 'the gateway ends because of a fault of its own; please report it');
    gateway.cut();
    if (!seen) setTimeout(() => io.endNow('SIGKILL'), LIMITS.faultStopMs).unref();
    seen = true;
    resolve();
  };
  process.on('uncaughtException', caught);
  return { first, seen: () => seen, unwatch: () => process.off('uncaughtException', caught) };
}

/** Ctrl-C in a terminal also ends the program that creates the cluster, which is no failure then. */
async function startSample(stop: AbortSignal): Promise<Embedded | 'stopped'> {
  try {
    return await startEmbedded({ dataDir: SAMPLE_DATA, hba: SAMPLE_HBA, scripts: SAMPLE_SCRIPTS, stop });
  } catch (error) {
    if (stop.aborted) return 'stopped';
    throw error;
  }
}

function withSample(config: Config, embedded: Embedded): Config {
  const connection = config.undo.connection ?? sampleConnection(embedded);
  return { ...config, undo: { ...config.undo, connection } };
}

function upstreamOf(embedded: Embedded): Upstream {
  return {
    host: embedded.host,
    port: embedded.port,
    ssl: { mode: 'disable', negotiation: 'postgres', rootCert: null, client: null },
  };
}

/** Resolves with the exit code: 0 where a person asked for the end, 1 where the sample server died or at a fault. */
async function untilStopped(
  gateway: Gateway,
  embedded: Embedded | null,
  stop: AbortSignal,
  fault: Promise<void>,
  log: Logger,
): Promise<0 | 1> {
  const reload = () => void gateway.reload();
  process.on('SIGHUP', reload);
  const { promise, resolve } = Promise.withResolvers<0 | 1>();
  if (stop.aborted) resolve(0);
  stop.addEventListener('abort', () => resolve(0), { once: true });
  void fault.then(() => resolve(1));
  void embedded?.exited.then(() => {
    if (!stop.aborted) log.error('the embedded PostgreSQL server has ended');
    resolve(1);
  });
  const code = await promise;
  process.off('SIGHUP', reload);
  return code;
}
