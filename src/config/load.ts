import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LIMITS } from '../base/limits.ts';
import { explainIssues } from '../policy/explain-issues.ts';
import type { Parsed } from '../policy/judged.ts';
import { readSettings } from '../policy/load.ts';
import { InvalidSettings, type Problem } from '../policy/problems.ts';
import { type Path, readYaml, type YamlFile } from '../policy/strict-yaml.ts';
import type { QuarantineRule } from '../restraint/restraint.ts';
import type { Config, ConfigLimits, ServerTls, Upstream } from './config.ts';
import { collide, type Endpoint, formatEndpoint, isLoopback } from './endpoint.ts';
import { type FromEnvironment, overlay, readEnvironment, variablesOf } from './environment.ts';
import { type ConfigInput, configSchema } from './schema.ts';
import type { StoreTarget } from './storage.ts';
import { checkPair, readPem } from './tls-files.ts';
import type { UpstreamUrl } from './upstream.ts';
import { USUAL_FILES } from './usual-files.ts';

export interface ConfigSources {
  readonly file?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const DAY_MS = 24 * 60 * 60_000;

const daysInMs = (days: number | undefined): number | null => (days === undefined ? null : days * DAY_MS);

const DEFAULTS = {
  listen: { host: '127.0.0.1', port: 6432 },
  adminListen: { host: '127.0.0.1', port: 8432 },
  ...USUAL_FILES,
  store: { kind: 'sqlite', path: 'data/holdfast.db' },
  snapshots: { kind: 'file', directory: 'data/snapshots' },
  approvalsRetentionDays: 90,
} as const;

/**
 * Reads the file where one is given, puts the environment over it and the defaults under it, and reads the
 * TLS files. Everything that is wrong is in one InvalidSettings, at its line and column or its variable.
 */
export function loadConfig(sources: ConfigSources): Config {
  const file =
    sources.file === undefined ? null : readYaml(readSettings(sources.file, 'CONFIG_INVALID'), sources.file);
  const environment = readEnvironment(variablesOf(configSchema), sources.env);
  const faults = new Faults(file, environment);
  if (file?.fatal === true) throw faults.error();
  const data = environment.values.reduce(
    (merged, { variable, value }) => overlay(merged, variable.path, value),
    withoutNothing(file?.value ?? {}),
  );
  const parsed = configSchema.safeParse(data);
  if (!parsed.success) {
    for (const { path, message, atKey } of explainIssues(configSchema, parsed.error.issues, data)) {
      faults.add(path, message, atKey);
    }
    throw faults.error();
  }
  const config = build(parsed.data, sources.file ?? null, faults);
  if (faults.problems.length > 0) throw faults.error();
  return config;
}

/** Gathers what is wrong, each at the place that it came from. */
class Faults {
  readonly problems: Problem[];
  readonly warnings: Problem[] = [];
  readonly #file: YamlFile | null;
  readonly #environment: FromEnvironment;

  constructor(file: YamlFile | null, environment: FromEnvironment) {
    this.#file = file;
    this.#environment = environment;
    this.problems = [...(file?.problems ?? []), ...environment.problems];
  }

  add(path: Path, message: string, atKey = false): void {
    this.problems.push(this.#at(path, message, atKey));
  }

  warn(path: Path, message: string): void {
    this.warnings.push(this.#at(path, message, false));
  }

  /** The value, or null after its problem was added. */
  take<T>(path: Path, parsed: Parsed<T>): T | null {
    if (parsed.ok) return parsed.value;
    this.add(path, parsed.problem);
    return null;
  }

  error(): InvalidSettings {
    return new InvalidSettings('CONFIG_INVALID', this.problems);
  }

  #at(path: Path, message: string, atKey: boolean): Problem {
    const key = path.join('.');
    const set = this.#environment.values.find(({ variable }) => variable.path.join('.') === key);
    if (set !== undefined) return { source: set.variable.name, line: null, column: null, message };
    if (this.#file !== null)
      return atKey ? this.#file.problemAtKey(path, message) : this.#file.problemAt(path, message);
    return { source: key === '' ? 'configuration' : key, line: null, column: null, message };
  }
}

function build(input: ConfigInput, file: string | null, faults: Faults): Config {
  const listen = input.listen ?? DEFAULTS.listen;
  const adminListen = input.admin?.listen ?? DEFAULTS.adminListen;
  if (file !== null && input.upstream === undefined) {
    faults.add([], '"upstream" is missing: a configuration file names the server that it is for');
  }
  checkEndpoints(listen, adminListen, input.upstream, faults);
  const snapshotsTaken = input.snapshots_taken !== 'off';
  return Object.freeze({
    file,
    listen,
    upstream: input.upstream === undefined ? null : readUpstream(input.upstream, faults),
    tls: readServerTls(input.tls ?? {}, faults),
    admin: {
      listen: adminListen,
      tokens: existing(input.admin?.tokens, DEFAULTS.tokens, ['admin', 'tokens'], faults),
      publicUrl: input.admin?.public_url ?? null,
      metrics: input.admin?.metrics ?? 'token',
    },
    webhooks: existing(input.webhooks, DEFAULTS.webhooks, ['webhooks'], faults),
    store: input.store ?? DEFAULTS.store,
    snapshots: input.snapshots ?? DEFAULTS.snapshots,
    snapshotsRetention: {
      ageMs: daysInMs(input.snapshots_retention?.days),
      bytes: input.snapshots_retention?.bytes ?? null,
    },
    snapshotsTaken,
    previews: input.previews !== 'off',
    trashRetentionMs: daysInMs(input.trash?.retention_days),
    trashArchive: (input.trash?.archive ?? (input.undo?.connection === undefined ? 'off' : 'on')) === 'on',
    approvalsRetentionMs: daysInMs(input.approvals?.retention_days ?? DEFAULTS.approvalsRetentionDays)!,
    audit: {
      signingKey: input.audit?.signing_key ?? besideStore(input.store ?? DEFAULTS.store),
      retentionMs: daysInMs(input.audit?.retention_days),
      formerKeys: input.audit?.former_keys ?? [],
      durableBeforeCommit: (input.audit?.durable_before_commit ?? (snapshotsTaken ? 'on' : 'off')) === 'on',
    },
    policy: existing(input.policy, DEFAULTS.policy, ['policy'], faults),
    undo: {
      connection: input.undo?.connection ?? null,
      trustedRoles: input.undo?.trusted_roles ?? [],
    },
    quarantine: quarantineOf(input.quarantine ?? {}, faults),
    log: { level: input.log?.level ?? 'info' },
    startup: { replication: input.startup?.replication ?? 'refuse' },
    limits: limitsOf(input.limits ?? {}),
    warnings: faults.warnings,
  } satisfies Config);
}

/** Every store has an audit of its own, and so a key of its own. */
function besideStore(store: StoreTarget): string {
  return join(dirname(store.path), 'audit-key.pem');
}

const QUARANTINE = { withinMs: 10 * 60_000, forMs: 30 * 60_000, by: 'role' } as const;

function quarantineOf(
  { attempts, within, for: forMs, by }: NonNullable<ConfigInput['quarantine']>,
  faults: Faults,
): QuarantineRule | null {
  if (attempts !== undefined) {
    const { withinMs, ...otherwise } = QUARANTINE;
    return {
      attempts,
      withinMs: within ?? withinMs,
      forMs: forMs ?? otherwise.forMs,
      by: by ?? otherwise.by,
    };
  }
  for (const [key, value] of Object.entries({ within, for: forMs, by })) {
    if (value !== undefined) faults.add(['quarantine', key], 'has no meaning without quarantine.attempts');
  }
  return null;
}

function limitsOf(input: NonNullable<ConfigInput['limits']>): ConfigLimits {
  return {
    sessionsMax: input.sessions_max ?? LIMITS.sessionsMax,
    statementBytes: input.statement_bytes ?? LIMITS.statementBytes,
    startupTimeoutMs: input.startup_timeout ?? LIMITS.startupTimeoutMs,
    upstreamConnectTimeoutMs: input.upstream_connect_timeout ?? LIMITS.upstreamConnectTimeoutMs,
    drainTimeoutMs: input.drain_timeout ?? LIMITS.drainTimeoutMs,
  };
}

function checkEndpoints(
  listen: Endpoint,
  admin: Endpoint,
  upstream: UpstreamUrl | undefined,
  faults: Faults,
): void {
  if (collide(listen, admin)) {
    faults.add(
      ['admin', 'listen'],
      `clients already connect to ${formatEndpoint(listen)}; choose another port`,
    );
  }
  if (upstream !== undefined && listen.host === upstream.host && listen.port === upstream.port) {
    faults.add(['upstream'], `this is where the gateway itself listens (${formatEndpoint(listen)})`);
  }
  if (!isLoopback(admin)) {
    faults.warn(
      ['admin', 'listen'],
      `the admin API speaks plain HTTP on ${formatEndpoint(admin)}: put TLS in front of it, tokens travel over it`,
    );
  }
}

function readServerTls(input: NonNullable<ConfigInput['tls']>, faults: Faults): ServerTls {
  const mode = input.mode ?? 'disable';
  if (mode === 'disable') {
    for (const key of ['cert', 'key', 'client_ca'] as const) {
      if (input[key] !== undefined) faults.warn(['tls', key], 'has no effect while tls.mode is disable');
    }
    return { mode };
  }
  if (input.cert === undefined) faults.add(['tls', 'mode'], `tls.mode ${mode} needs tls.cert`);
  if (input.key === undefined) faults.add(['tls', 'mode'], `tls.mode ${mode} needs tls.key`);
  const cert = readOptionalPem(input.cert, 'CERTIFICATE', ['tls', 'cert'], faults);
  const key = readOptionalPem(input.key, 'PRIVATE KEY', ['tls', 'key'], faults);
  const clientCa = readOptionalPem(input.client_ca, 'CERTIFICATE', ['tls', 'client_ca'], faults);
  if (cert === null || key === null) return { mode: 'disable' };
  const mismatch = checkPair(cert, key);
  if (mismatch !== null) faults.add(['tls', 'key'], mismatch);
  return { mode, cert, key, clientCa };
}

function readUpstream(url: UpstreamUrl, faults: Faults): Upstream {
  const place = ['upstream'];
  const rootCert = readOptionalPem(url.sslRootCert ?? undefined, 'CERTIFICATE', place, faults);
  const cert = readOptionalPem(url.sslCert ?? undefined, 'CERTIFICATE', place, faults);
  const key = readOptionalPem(url.sslKey ?? undefined, 'PRIVATE KEY', place, faults);
  const client = cert === null || key === null ? null : { cert, key };
  const mismatch = client === null ? null : checkPair(client.cert, client.key);
  if (mismatch !== null) faults.add(place, mismatch);
  return {
    host: url.host,
    port: url.port,
    ssl: { mode: url.sslMode, negotiation: url.sslNegotiation, rootCert, client },
  };
}

function readOptionalPem(
  path: string | undefined,
  kind: 'CERTIFICATE' | 'PRIVATE KEY',
  place: Path,
  faults: Faults,
): string | null {
  return path === undefined ? null : faults.take(place, readPem(path, kind));
}

/** The file that is named, which must be there, or the one at the usual place where it is. */
function existing(named: string | undefined, usual: string, place: Path, faults: Faults): string | null {
  if (named === undefined) return existsSync(usual) ? usual : null;
  if (!existsSync(named)) faults.add(place, `${named}: there is no such file`);
  return named;
}

/** A key with nothing after its colon is a key that is not set. */
function withoutNothing(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutNothing(inner)]));
}
