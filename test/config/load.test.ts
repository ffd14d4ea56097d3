import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { variablesOf } from '../../src/config/environment.ts';
import { loadConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { formatProblem, InvalidSettings } from '../../src/policy/problems.ts';
import { expectJsonSchema, goldenFiles } from '../fixtures/golden.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(text: string): string {
  const path = join(folder, 'holdfast.yaml');
  writeFileSync(path, text);
  return path;
}

function faultsOf(text: string | null, env: Record<string, string> = {}): string {
  try {
    loadConfig(text === null ? { env } : { file: fileOf(text), env });
    return 'loaded\n';
  } catch (error) {
    if (!(error instanceof InvalidSettings)) throw error;
    return `${error.message}\n`.replaceAll(`${folder}/`, '');
  }
}

describe('a configuration that cannot be meant is refused, with every fault at its place', () => {
  for (const golden of goldenFiles(join(import.meta.dirname, '../fixtures/config'))) {
    it(golden.name, () => {
      const faults = faultsOf(golden.input);
      golden.update(faults);
      if (process.env['UPDATE_GOLDEN'] !== '1') expect(faults).toBe(golden.expected);
      expect(faults).not.toBe('loaded\n');
      expect(faults).not.toContain('hunter2');
    });
  }
});

describe('without a file and variables', () => {
  it('everything has a default, and the upstream is the embedded server', () => {
    expect(loadConfig({ env: {} })).toMatchObject({
      file: null,
      listen: { host: '127.0.0.1', port: 6432 },
      upstream: null,
      tls: { mode: 'disable' },
      admin: { listen: { host: '127.0.0.1', port: 8432 }, metrics: 'token' },
      store: { kind: 'sqlite', path: 'data/holdfast.db' },
      snapshots: { kind: 'file', directory: 'data/snapshots' },
      approvalsRetentionMs: 90 * 24 * 60 * 60 * 1000,
      audit: { signingKey: 'data/audit-key.pem', retentionMs: null },
      log: { level: 'info' },
      startup: { replication: 'refuse' },
      limits: { sessionsMax: 10_000, statementBytes: 67_108_864, startupTimeoutMs: 60_000 },
      warnings: [],
    });
  });
});

describe('the environment', () => {
  it('has a variable for every key, and no two keys share one', () => {
    const names = variablesOf(configSchema).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(
      expect.arrayContaining([
        'HOLDFAST_LISTEN',
        'HOLDFAST_ADMIN_LISTEN',
        'HOLDFAST_ADMIN_TOKENS',
        'HOLDFAST_LIMITS_SESSIONS_MAX',
        'HOLDFAST_TLS_CLIENT_CA',
        'HOLDFAST_UNDO_CONNECTION',
      ]),
    );
  });

  it('wins over the file, key by key', () => {
    const file = fileOf(
      'upstream: postgres://a:1\nadmin: { listen: 127.0.0.1:1 }\nlimits: { sessions_max: 3 }\n',
    );
    const config = loadConfig({
      file,
      env: { HOLDFAST_UPSTREAM: 'postgres://b:2', HOLDFAST_LIMITS_DRAIN_TIMEOUT: '5s', PATH: '/bin' },
    });
    expect(config).toMatchObject({
      upstream: { host: 'b', port: 2 },
      admin: { listen: { port: 1 } },
      limits: { sessionsMax: 3, drainTimeoutMs: 5_000 },
    });
  });

  it('replaces nothing that is no mapping where one has to be', () => {
    const env = { HOLDFAST_UPSTREAM: 'postgres://b:2', HOLDFAST_ADMIN_LISTEN: '127.0.0.1:1' };
    expect(faultsOf('- tls\n', env)).toBe('holdfast.yaml:1:1: expected a mapping, found a list\n');
    expect(faultsOf('tls\n', env)).toBe('holdfast.yaml:1:1: expected a mapping, found "tls"\n');
    expect(faultsOf('admin: [tokens]\n', env)).toBe('holdfast.yaml:1:8: expected a mapping, found a list\n');
    expect(faultsOf('admin:\n', env)).toBe('loaded\n');
  });

  it('that is set to nothing is not set', () => {
    expect(loadConfig({ env: { HOLDFAST_UPSTREAM: '' } }).upstream).toBeNull();
  });

  it('names its variable in a fault, and the variable that was meant', () => {
    expect(
      faultsOf(null, {
        HOLDFAST_LISTEN: 'x',
        HOLDFAST_ADMIN_TOKEN: 'y',
        HOLDFAST_LIMITS_SESSIONS_MAX: 'many',
      }),
    ).toBe(
      [
        'HOLDFAST_ADMIN_TOKEN: unknown variable; did you mean "HOLDFAST_ADMIN_TOKENS"?',
        'HOLDFAST_LIMITS_SESSIONS_MAX: expected a whole number, found "many"',
        'HOLDFAST_LISTEN: expected host:port, like 127.0.0.1:6432, localhost:6432 or [::1]:6432',
        '',
      ].join('\n'),
    );
  });

  it('leaves the variables of the command line alone', () => {
    expect(() =>
      loadConfig({ env: { HOLDFAST_TOKEN: 'x', HOLDFAST_ADMIN_URL: 'y', HOLDFAST_CONFIG: 'z' } }),
    ).not.toThrow();
  });
});

describe('the upstream', () => {
  const upstream = (url: string) => loadConfig({ env: { HOLDFAST_UPSTREAM: url } }).upstream;

  it("is a host, a port and libpq's sslmode", () => {
    expect(upstream('postgres://db')).toEqual({
      host: 'db',
      port: 5432,
      ssl: { mode: 'prefer', negotiation: 'postgres', rootCert: null, client: null },
    });
    expect(upstream('postgresql://[::1]:6000/?sslmode=require&sslnegotiation=direct')).toMatchObject({
      host: '::1',
      port: 6000,
      ssl: { mode: 'require', negotiation: 'direct' },
    });
  });

  it.each([
    ['postgres://a,b', 'needs one host'],
    ['postgres:///', 'needs one host'],
    ['postgres://h:0', 'port 0'],
    ['postgres://h?sslmode=require&sslmode=disable', 'twice'],
    ['postgres://h?sslmode=on', 'sslmode is one of'],
    ['postgres://h?sslmode=disable&sslrootcert=x', 'no use for certificates'],
    ['postgres://h?sslcert=x', 'go together'],
    ['postgres://h?sslnegotiation=direct', 'sslmode=require or stronger'],
    ['mysql://h', 'expected a URL like postgres://'],
  ])('%s is refused', (url, message) => {
    expect(faultsOf(null, { HOLDFAST_UPSTREAM: url })).toContain(message);
  });
});

describe('snapshots', () => {
  it.each([{}, { HOLDFAST_UPSTREAM: 'postgres://db' }])('are taken unless they are turned off: %j', (env) => {
    const facts = ({ snapshotsTaken, audit }: ReturnType<typeof loadConfig>) => [
      snapshotsTaken,
      audit.durableBeforeCommit,
    ];
    expect(facts(loadConfig({ env }))).toEqual([true, true]);
    expect(facts(loadConfig({ env: { ...env, HOLDFAST_SNAPSHOTS_TAKEN: 'off' } }))).toEqual([false, false]);
  });
});

describe('warnings', () => {
  it('say that the admin API is in the clear on an address that others can reach', () => {
    const { warnings } = loadConfig({ env: { HOLDFAST_ADMIN_LISTEN: '0.0.0.0:8432' } });
    expect(warnings.map(formatProblem)).toEqual([
      expect.stringMatching(/^HOLDFAST_ADMIN_LISTEN: the admin API speaks plain HTTP/),
    ]);
  });
});

describe('the files that are shipped', () => {
  it('config/holdfast.yaml says what the defaults are', () => {
    const { file: _file, upstream, ...shipped } = loadConfig({ file: 'config/holdfast.yaml', env: {} });
    const { file: _none, upstream: _embedded, ...defaults } = loadConfig({ env: {} });
    expect(shipped).toEqual(defaults);
    expect([shipped.snapshotsTaken, shipped.audit.durableBeforeCommit]).toEqual([true, true]);
    expect(upstream).toMatchObject({ host: '127.0.0.1', port: 5432 });
  });

  it('config/holdfast.schema.json is what the code says', () => {
    expectJsonSchema('config/holdfast.schema.json', configSchema);
  });
});
