import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compiledCodeIsKept, compiledCodeWasKept } from './compiled-code.ts';
import { freePort, freePorts } from './ports.ts';
import { scratchFolder } from './postgres.ts';
import { reapAtExit } from './reap.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const TOKEN = 'test-token-of-the-black-box-suites';
const READY_MS = 30_000;

export interface GatewayOptions {
  readonly upstreamPort: number;
  /** Parameters of the upstream URL, `sslmode=disable` unless told. */
  readonly upstreamParameters?: string;
  readonly upstreamHost?: string;
  /** The policy's text; monitor mode, which lets everything pass, unless told. Null for no file. */
  readonly policy?: string | null;
  /** Where it is started, instead of here. */
  readonly cwd?: string;
  readonly environment?: Record<string, string>;
  /** The descriptor that it writes what it prints and its log to, which nobody reads then. */
  readonly output?: number;
}

/**
 * What suites that are about anything else turn off: they would pay for a capture of every UPDATE. Those that are about
 * snapshots, and those of real clients with the default policy, say that they want them.
 */
const NO_SNAPSHOTS: Record<string, string> = { HOLDFAST_SNAPSHOTS_TAKEN: 'off' };
export const SNAPSHOTS: Record<string, string> = { HOLDFAST_SNAPSHOTS_TAKEN: 'on' };

export const MONITOR_POLICY = 'mode: monitor\n';
export const DEFAULT_POLICY = 'mode: protect\n';

/** Something between a client and a server: the gateway, or what stands in for it. */
export interface Middle {
  readonly port: number;
  readonly pid: number;
  /** What the process wrote about itself, for failures. */
  log(): string;
  /** Throws unless the process is alive. */
  assertAlive(): void;
  stop(): Promise<void>;
}

const STARTS_MAX = 3;
const PORT_TAKEN = 'another program listens there';

/** The gateway as its users run it: a process of its own, known by its ports, its files and its exit. */
export class TestGateway implements Middle {
  readonly port: number;
  readonly adminPort: number;
  readonly directory: string;
  readonly child: ChildProcess;
  #log = '';

  constructor(port: number, adminPort: number, directory: string, child: ChildProcess) {
    this.port = port;
    this.adminPort = adminPort;
    this.directory = directory;
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#log = (this.#log + chunk.toString('utf8')).slice(-1_000_000);
      });
    }
  }

  /** Another process may have taken a port between the look for free ones and its start. */
  static async start(options: GatewayOptions): Promise<TestGateway> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await TestGateway.#startOnce(options);
      } catch (error) {
        if (attempt === STARTS_MAX || !(error as Error).message.includes(PORT_TAKEN)) throw error;
      }
    }
  }

  static async #startOnce(options: GatewayOptions): Promise<TestGateway> {
    const [port, adminPort] = (await freePorts(2)) as [number, number];
    const directory = await scratchFolder('gateway');
    const { policy = MONITOR_POLICY } = options;
    if (policy !== null) writeFileSync(join(directory, 'policy.yaml'), policy);
    const sha256 = createHash('sha256').update(TOKEN).digest('hex');
    writeFileSync(
      join(directory, 'tokens.yaml'),
      `tokens:\n  - { name: tests, sha256: ${sha256}, scopes: ["*"] }\n`,
      { mode: 0o600 },
    );
    const host = options.upstreamHost ?? '127.0.0.1';
    const parameters = options.upstreamParameters ?? 'sslmode=disable';
    const child = spawn(process.execPath, [join(ROOT, 'src/cli/main.ts'), 'serve'], {
      cwd: options.cwd ?? ROOT,
      stdio: ['ignore', options.output ?? 'pipe', options.output ?? 'pipe'],
      env: {
        ...environmentWithoutOwnSettings(),
        HOLDFAST_UPSTREAM: `postgres://${host}:${options.upstreamPort}?${parameters}`,
        HOLDFAST_LISTEN: `127.0.0.1:${port}`,
        HOLDFAST_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
        HOLDFAST_STORE: `sqlite:${join(directory, 'h.db')}`,
        HOLDFAST_SNAPSHOTS: `file:${join(directory, 'snapshots')}`,
        ...(policy === null ? {} : { HOLDFAST_POLICY: join(directory, 'policy.yaml') }),
        HOLDFAST_ADMIN_TOKENS: join(directory, 'tokens.yaml'),
        ...NO_SNAPSHOTS,
        ...options.environment,
      },
    });
    const gateway = new TestGateway(port, adminPort, directory, child);
    reapAtExit(child, 'SIGKILL');
    await gateway.#untilReady();
    return gateway;
  }

  get pid(): number {
    return this.child.pid!;
  }

  get policyPath(): string {
    return join(this.directory, 'policy.yaml');
  }

  log(): string {
    return this.#log;
  }

  /** One that may do everything. */
  get token(): string {
    return TOKEN;
  }

  /** A token of the file, which the gateway reads at its next request: that of somebody else than all others. */
  addToken(name: string, may: { readonly scopes: readonly string[] }): string {
    const token = `token-of-${name.replaceAll(' ', '-')}`;
    const sha256 = createHash('sha256').update(token).digest('hex');
    appendFileSync(join(this.directory, 'tokens.yaml'), `  - ${JSON.stringify({ name, sha256, ...may })}\n`);
    return token;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  assertAlive(): void {
    if (this.child.exitCode !== null || this.child.signalCode !== null) {
      throw new Error(
        `the gateway is gone (exit ${this.child.exitCode}, signal ${this.child.signalCode}):\n${this.#log}`,
      );
    }
  }

  /** Asks the admin API and gives status and body, which is parsed where it is JSON. */
  async http(
    path: string,
    init: { method?: string; body?: unknown; token?: string | null } = {},
  ): Promise<{ status: number; body: unknown; text: string }> {
    const token = init.token === undefined ? TOKEN : init.token;
    const headers: Record<string, string> = {};
    if (token !== null) headers['authorization'] = `Bearer ${token}`;
    if (init.body !== undefined) headers['content-type'] = 'application/json';
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, {
      method: init.method ?? 'GET',
      headers,
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    let body: unknown = text;
    try {
      body = JSON.parse(text);
    } catch {
      // Metrics and health are plain text.
    }
    return { status: response.status, body, text };
  }

  /** The sum of a metric over its labels, or null where it is not there. */
  async metric(name: string): Promise<number | null> {
    const { text } = await this.http('/metrics');
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    if (lines.length === 0) return null;
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  /** Asks to stop and gives the exit code, or the signal's name. */
  async terminate(): Promise<number | string> {
    return await this.#ending(() => this.child.kill('SIGTERM'), 40_000);
  }

  async killHard(): Promise<void> {
    await this.#ending(() => this.child.kill('SIGKILL'), 10_000);
  }

  async stop(): Promise<void> {
    if (this.#running && !compiledCodeIsKept()) {
      const ending = await this.#ending(() => this.child.kill('SIGTERM'), 2_000).catch(() => null);
      if (ending === 0) compiledCodeWasKept();
    }
    if (this.#running) await this.killHard();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get #running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async #ending(how: () => void, deadlineMs: number): Promise<number | string> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    if (this.child.signalCode !== null) return this.child.signalCode;
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.child.kill('SIGKILL');
        reject(new Error(`the gateway did not stop within ${deadlineMs} ms:\n${this.#log}`));
      }, deadlineMs);
      this.child.once('exit', (code, signal) => {
        clearTimeout(timer);
        resolve(code ?? signal ?? 'unknown');
      });
      how();
    });
  }

  async #untilReady(): Promise<void> {
    const deadline = performance.now() + READY_MS;
    while (performance.now() < deadline) {
      this.assertAlive();
      // Those who break the storage want to see what becomes of that.
      const ready = await this.http('/readyz?exclude=snapshots', { token: null }).catch(() => null);
      if (ready?.status === 200) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`the gateway was not ready within ${READY_MS} ms:\n${this.#log}`);
  }
}

export async function startGateway(options: GatewayOptions): Promise<TestGateway> {
  return await TestGateway.start(options);
}

/** A bare Node pipe in a process of its own. */
export async function startPipe(
  upstreamPort: number,
  environment: Record<string, string> = {},
): Promise<Middle> {
  return await startMiddleProcess('test/bench/pipe.ts', ['--to', String(upstreamPort)], environment);
}

/** Runs a script of this repository that listens on `--listen PORT` and says `listening`. */
export async function startMiddleProcess(
  script: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Middle> {
  const port = await freePort();
  const child = spawn(process.execPath, [script, '--listen', String(port), ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let log = '';
  reapAtExit(child, 'SIGKILL');
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error(`${script} did not start:\n${log}`)));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        log += chunk.toString('utf8');
        if (log.includes('listening')) resolve();
      });
    }
  });
  return {
    port,
    pid: child.pid!,
    log: () => log,
    assertAlive() {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${script} is gone:\n${log}`);
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/**
 * What the suites put between client and server: the gateway, or the bare pipe with HOLDFAST_TEST_THROUGH=pipe,
 * which tells a mistake of a test from one of the gateway.
 */
export async function startMiddle(options: GatewayOptions): Promise<Middle> {
  if (process.env['HOLDFAST_TEST_THROUGH'] === 'pipe') return await startPipe(options.upstreamPort);
  return await startGateway(options);
}

function environmentWithoutOwnSettings(): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !name.startsWith('HOLDFAST_') && !name.startsWith('PG')) out[name] = value;
  }
  return out;
}
