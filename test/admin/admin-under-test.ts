import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { AdminDeps, PolicyFacts, TokensAdmin } from '../../src/admin/deps.ts';
import { EventHub } from '../../src/admin/event-hub.ts';
import { type AdminServer, createAdminServer } from '../../src/admin/server.ts';
import { StoredSnapshots } from '../../src/admin/stored-snapshots.ts';
import { makeToken, type Scope, type Token } from '../../src/admin/tokens.ts';
import { StoredApprovalDesk } from '../../src/approval/desk.ts';
import { RequestKeys } from '../../src/approval/request-keys.ts';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { AuditQuery } from '../../src/audit/query.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { NO_WEBHOOKS } from '../../src/config/webhooks.ts';
import { PreviewResults } from '../../src/preview/results.ts';
import { RowSetSeal } from '../../src/preview/row-set-seal.ts';
import { StoredRestraints } from '../../src/restraint/restraints.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { analysis, decision } from '../audit/statements.ts';
import { type FaultyStore, faultyStore } from '../store/faulty-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what the API answers is what the tests look into.
  readonly body: any;
}

/** The admin API over HTTP with a real store behind it; policy and readiness are told what to say. */
export class AdminUnderTest {
  readonly metrics = new Metrics();
  readonly logged: string[] = [];
  readonly tokens: Token[] = [];
  readonly events = new EventHub();
  /** Keeps what is made beside the tokens of the tests. */
  readonly principals: TokensAdmin = {
    list: () => this.tokens,
    madeWith: () => [],
    create: async ({ name, scopes, expiresAtMs, ...lists }) => {
      this.#failTokens();
      if (this.tokens.some((token) => token.name === name))
        throw new HoldfastError('CONFLICT', 'it is taken');
      const made = makeToken(name, scopes, expiresAtMs, lists);
      this.tokens.push(made.token);
      return made;
    },
    revoke: async (name) => {
      this.#failTokens();
      if (name === 'of-the-file') throw new HoldfastError('CONFLICT', 'it stands in a file');
      const index = this.tokens.findIndex((token) => token.name === name);
      if (index < 0) throw new HoldfastError('NOT_FOUND', `there is no token ${name}`);
      this.tokens.splice(index, 1);
      return [];
    },
  };
  /** Tokens cannot be stored while this is set. */
  tokensFail = false;
  /** What the check of the audit says. */
  problems: string[] = [];
  policyProblem: HoldfastError | null = null;
  /** What /v1/analyze handed on. */
  analyzed: unknown[] = [];
  store!: FaultyStore;
  audit!: StoredAuditLog;
  approvals!: StoredApprovalDesk;
  restraints!: StoredRestraints;
  previews!: PreviewResults;
  port = 0;
  #server!: AdminServer;
  #query!: AuditQuery;
  #blobs!: DirectoryBlobStore;
  #snapshots!: StoredSnapshots;
  #removeFolder!: () => Promise<void>;

  static async start(changes: Partial<AdminDeps> = {}): Promise<AdminUnderTest> {
    const admin = new AdminUnderTest();
    await admin.#start(changes);
    return admin;
  }

  async #start(changes: Partial<AdminDeps>): Promise<void> {
    const folder = await temporaryFolder();
    this.#removeFolder = folder.remove;
    const log = createLogger('info', { write: (line) => this.logged.push(line) });
    const { metrics } = this;
    this.store = faultyStore(await SqliteControlStore.open(join(folder.path, 'holdfast.db')));
    this.audit = await StoredAuditLog.open({ store: this.store, metrics, log });
    this.approvals = await StoredApprovalDesk.open({
      ...{ store: this.store, metrics, log },
      keys: new RequestKeys(Buffer.alloc(32)),
    });
    const { store, audit } = this;
    this.previews = new PreviewResults(store, log, new RowSetSeal(Buffer.alloc(32)));
    this.restraints = await StoredRestraints.open({ store, audit, metrics, log, rule: null });
    this.#query = new AuditQuery({ store: this.store, log: this.audit });
    this.#blobs = new DirectoryBlobStore(join(folder.path, 'snapshots'));
    this.#snapshots = new StoredSnapshots({
      store: this.#blobs,
      audit: this.audit,
      connection: null,
      trashRetentionMs: null,
      trusted: [],
      keys: new Map(),
      version: '9.8.7',
      metrics,
    });
    this.#server = await createAdminServer({
      audit: this.#query,
      approvals: this.approvals,
      previews: this.previews,
      policy: {
        current: () => POLICY,
        reload: async () => {
          if (this.policyProblem !== null) throw this.policyProblem;
          return { ...POLICY, revision: 'reloaded' };
        },
        read: async () => analysis({ operation: 'delete', risk: 'critical', tables: ['orders'] }),
        analyze: async (...asked) => {
          this.analyzed.push(asked);
          const found = analysis({ operation: 'delete', risk: 'critical', tables: ['orders'] });
          return { analysis: found, decision: decision('hold', 'critical'), bands: null };
        },
      },
      snapshots: this.#snapshots,
      events: this.events,
      restraints: this.restraints,
      webhooks: {
        current: () => NO_WEBHOOKS,
        reload: async () => {
          if (this.policyProblem !== null) throw this.policyProblem;
          await store.keepWebhooks([]);
          return NO_WEBHOOKS;
        },
      },
      metrics,
      tokens: () => this.tokens,
      oidc: () => null,
      principals: this.principals,
      status: () => ({
        version: '9.8.7',
        startedAtMs: Date.now(),
        listen: '127.0.0.1:6432',
        upstream: 'db:5432',
        draining: false,
        anchorProblem: null,
        tokensProblem: null,
      }),
      readiness: async () =>
        this.problems.map((problem) => ({
          ...{ name: 'audit', problem, refuses: true },
          ...{ hint: null, sinceMs: null, where: null },
        })),
      log,
      metricsAccess: 'token',
      hostNames: 'loopback',
      ...changes,
    });
    this.port = await this.#server.listen({ host: '127.0.0.1', port: 0 });
  }

  #failTokens(): void {
    if (this.tokensFail) throw new HoldfastError('STORE_FAILED', 'the disk of the store is full');
  }

  /** A token that is good for these scopes. */
  token(scopes: readonly Scope[], name = `token ${this.tokens.length}`): string {
    const { secret, token } = makeToken(name, scopes);
    this.tokens.push(token);
    return secret;
  }

  async ask(method: string, path: string, token?: string, body?: unknown): Promise<Answer> {
    const headers: Record<string, string> = {};
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    if (body !== undefined) headers['content-type'] = 'application/json';
    return await this.send(path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async send(path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, init);
    const isStream = response.headers.get('content-type') === 'text/event-stream';
    if (isStream) await response.body?.cancel();
    const text = isStream ? '' : await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson ? JSON.parse(text) : null,
    };
  }

  /** With a Host header, which fetch does not let anybody choose. */
  askAs(host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: this.port, path: '/healthz', headers: { host } };
      request(options, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on('error', reject)
        .end();
    });
  }

  async stop(): Promise<void> {
    this.store.failing = false;
    await this.#snapshots.close();
    await this.#server.close();
    await this.#blobs.close();
    await this.approvals.close();
    await this.#query.close();
    await this.audit.close();
    await this.store.close();
    await this.#removeFolder();
  }
}

const POLICY: PolicyFacts = {
  revision: 'abc123',
  mode: 'protect',
  fileName: 'config/policy.yaml',
  source: 'mode: protect\n',
  rules: [{ name: 'agents ask first' }],
};

/** One for all tests of a file, without problems and tokens at the beginning of each. */
export interface AdminByTest {
  readonly admin: AdminUnderTest;
  /** A token that may do everything. */
  readonly all: string;
}

export function adminByTest(): AdminByTest {
  const under = {} as { -readonly [K in keyof AdminByTest]: AdminByTest[K] };
  beforeAll(async () => {
    under.admin = await AdminUnderTest.start();
  });
  beforeEach(() => {
    under.admin.problems = [];
    under.admin.policyProblem = null;
    under.admin.tokens.length = 0;
    under.all = under.admin.token(['*'], 'ops');
  });
  afterAll(() => under.admin.stop());
  return under;
}
