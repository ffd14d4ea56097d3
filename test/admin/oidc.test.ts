import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type OidcSettings, OidcVerifier } from '../../src/admin/oidc.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { AdminUnderTest } from './admin-under-test.ts';

/** An issuer over HTTP with keys of its own. */
class Issuer {
  readonly asked: string[] = [];
  failing = false;
  url = '';
  named: string | null = null;
  #server: Server;
  #keys: { kid: string; privateKey: CryptoKey; jwk: object }[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      this.asked.push(request.url ?? '');
      if (this.failing) return response.writeHead(503).end();
      const metadata = {
        issuer: this.named ?? this.url,
        jwks_uri: `${this.url}/keys`,
        authorization_endpoint: `${this.url}/authorize`,
        token_endpoint: 'http://elsewhere.example/token',
      };
      const keys = { keys: this.#keys.map(({ jwk }) => jwk) };
      const body = request.url === '/keys' ? keys : metadata;
      return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    await this.rotate('first');
  }

  async rotate(kid: string): Promise<void> {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' };
    this.#keys = [{ kid, privateKey, jwk }];
  }

  /** A token of this issuer, but for what is told otherwise. */
  async token(changes: JWTPayload = {}, header: { kid?: string; key?: CryptoKey } = {}): Promise<string> {
    const [key] = this.#keys;
    const nowS = Math.floor(Date.now() / 1000);
    const claims: JWTPayload = {
      iss: this.url,
      aud: 'holdfast',
      sub: 'anna',
      iat: nowS,
      exp: nowS + 60,
      realm: { roles: ['dba', 'unknown'] },
      ...changes,
    };
    const kept = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
    return await new SignJWT(kept)
      .setProtectedHeader({ alg: 'ES256', kid: header.kid ?? key!.kid })
      .sign(header.key ?? key!.privateKey);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const issuer = new Issuer();
let admin: AdminUnderTest;
let verifier: OidcVerifier;
const settings = (changes: Partial<OidcSettings> = {}): OidcSettings => ({
  issuer: issuer.url,
  audience: 'holdfast',
  jwks: `${issuer.url}/keys`,
  roleClaim: 'realm.roles',
  nameClaim: 'sub',
  clientId: 'console',
  roles: [
    { role: 'dba', scopes: ['approval:read'], groups: ['dbas'], databaseRoles: ['anna_app'] },
    { role: 'root', scopes: ['*'], groups: [], databaseRoles: [] },
  ],
  ...changes,
});

beforeAll(async () => {
  await issuer.start();
  admin = await AdminUnderTest.start({ oidc: () => verifier });
});
beforeEach(() => {
  issuer.failing = false;
  issuer.asked.length = 0;
  verifier = new OidcVerifier(settings());
});
afterAll(async () => {
  await admin.stop();
  await issuer.stop();
});

const nowS = () => Math.floor(Date.now() / 1000);

describe('a token of the issuer', () => {
  it('stands for whom it names, with what its roles are good for', async () => {
    const token = await issuer.token();
    expect((await admin.ask('GET', '/v1/whoami', token)).body).toMatchObject({
      name: 'oidc:anna',
      scopes: ['approval:read'],
      roles: ['anna_app'],
      groups: ['dbas'],
      expires_at: expect.stringMatching(/Z$/),
    });
    expect((await admin.ask('GET', '/v1/approvals', token)).status).toBe(200);
    expect((await admin.ask('GET', '/v1/audit', token)).status).toBe(403);
    expect(issuer.asked).toEqual(['/keys']);
  });

  it('is of the same person as a token or a role of that name', async () => {
    const principal = await verifier.verify(await issuer.token());
    expect(principal).toMatchObject({ name: 'oidc:anna', person: 'anna', subject: `${issuer.url} anna` });
  });

  it('by a name that may change or be shared is told apart by its subject', async () => {
    const byMail = new OidcVerifier(settings({ nameClaim: 'email' }));
    const of = async (email: string, sub: string | undefined) =>
      await byMail.verify(await issuer.token({ email, ...{ sub } } as JWTPayload));
    expect(await of('anna', '7')).toMatchObject({
      ...{ name: 'oidc:anna (7)', person: 'anna', subject: `${issuer.url} 7` },
    });
    expect((await of('anna', '8'))?.name).toBe('oidc:anna (8)');
    expect((await of('anna', '8) (9'))?.name).toBe('oidc:anna (8%29%20%289)');
    expect(await of('anna', undefined), 'nobody could tell who it is').toBeNull();
    expect(await of('anna', 'a\u001b[2J')).toBeNull();
  });

  it('with no role that is known may do nothing', async () => {
    const token = await issuer.token({ realm: { roles: ['other'] } });
    expect((await admin.ask('GET', '/v1/whoami', token)).body).toMatchObject({ scopes: [] });
    expect((await admin.ask('GET', '/v1/approvals', token)).status).toBe(403);
  });

  it.each<[string, () => JWTPayload]>([
    ['for another audience', () => ({ aud: 'other' })],
    ['without an audience', () => ({ aud: undefined }) as unknown as JWTPayload],
    ['of another issuer', () => ({ iss: 'https://evil.example' })],
    ['that has ended', () => ({ exp: nowS() - LIMITS.oidcClockToleranceS - 2 })],
    ['that never ends', () => ({ exp: undefined }) as unknown as JWTPayload],
    ['that does not hold yet', () => ({ nbf: nowS() + LIMITS.oidcClockToleranceS + 60 })],
    ['that was issued long ago', () => ({ iat: nowS() - LIMITS.oidcTokenAgeS - 60 })],
    ['without the role claim', () => ({ realm: {} })],
    ['with roles in another form', () => ({ realm: { roles: { dba: true } } })],
    ['without a name', () => ({ sub: undefined }) as unknown as JWTPayload],
    ['with a name that moves the cursor', () => ({ sub: 'a\u001b[2J' })],
  ])('%s is refused', async (_, changes) => {
    expect(await verifier.verify(await issuer.token(changes()))).toBeNull();
  });

  it('within the tolerance of clocks is taken', async () => {
    expect(await verifier.verify(await issuer.token({ exp: nowS() - 1 }))).not.toBeNull();
  });

  it('signed by somebody else, by a shared secret or by nobody is refused', async () => {
    const { privateKey } = await generateKeyPair('ES256');
    const foreign = await issuer.token({}, { key: privateKey });
    const [head = '', body = '', signature = ''] = (await issuer.token()).split('.');
    const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const secret = new TextEncoder().encode('public-key-as-a-secret-of-32-bytes');
    const shared = await new SignJWT({
      iss: issuer.url,
      aud: 'holdfast',
      sub: 'x',
      realm: { roles: ['root'] },
    })
      .setProtectedHeader({ alg: 'HS256', kid: 'first' })
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(secret);
    const raised = JSON.parse(Buffer.from(body, 'base64url').toString()) as object;
    for (const token of [
      foreign,
      shared,
      `${encoded({ alg: 'none' })}.${body}.${signature}`,
      `${encoded({ alg: 'none' })}.${body}.`,
      `${head}.${encoded({ ...raised, realm: { roles: ['root'] } })}.${signature}`,
    ]) {
      expect(await verifier.verify(token), token).toBeNull();
      expect((await admin.ask('GET', '/v1/whoami', token)).status).toBe(401);
    }
  });

  it('of a key that is new is known once the keys may be asked for again', async () => {
    await verifier.verify(await issuer.token());
    const old = await issuer.token();
    await issuer.rotate('second');
    const rotated = await issuer.token();
    // Within the cooldown nobody is asked, whatever keys are named.
    for (let i = 0; i < 20; i++) expect(await verifier.verify(rotated)).toBeNull();
    expect(await verifier.verify(old)).not.toBeNull();
    expect(issuer.asked).toEqual(['/keys']);
    const fresh = new OidcVerifier(settings());
    expect(await fresh.verify(rotated)).not.toBeNull();
    expect(await fresh.verify(old)).toBeNull();
  });

  it('has nobody asked who is not its issuer, nor for what is no token', async () => {
    for (const token of ['x', 'a.b.c', await issuer.token({ iss: 'https://evil.example' })])
      expect(await verifier.verify(token)).toBeNull();
    expect(issuer.asked).toEqual([]);
  });
});

describe('an issuer that does not answer', () => {
  it('is a 503, is not asked at every request, and takes nothing from other tokens', async () => {
    issuer.failing = true;
    for (let i = 0; i < 5; i++) {
      expect(await admin.ask('GET', '/v1/whoami', await issuer.token())).toMatchObject({
        status: 503,
        body: { type: 'urn:holdfast:problem:unavailable' },
      });
    }
    expect(issuer.asked).toEqual(['/keys']);
    expect((await admin.ask('GET', '/v1/whoami', admin.token(['*']))).status).toBe(200);
  });
});

describe('discovery', () => {
  it('finds the keys, and what the console needs; never what is not over TLS', async () => {
    verifier = new OidcVerifier(settings({ jwks: null }));
    expect(await verifier.verify(await issuer.token())).toMatchObject({ name: 'oidc:anna' });
    expect(issuer.asked).toEqual(['/.well-known/openid-configuration', '/keys']);
    expect((await admin.ask('GET', '/v1/sign-in')).body).toEqual({
      oidc: {
        issuer: issuer.url,
        client_id: 'console',
        authorization_endpoint: `${issuer.url}/authorize`,
        token_endpoint: null,
      },
    });
  });

  it('of another issuer is not believed', async () => {
    issuer.named = 'https://other.example';
    verifier = new OidcVerifier(settings({ jwks: null }));
    await expect(verifier.verify(await issuer.token())).rejects.toMatchObject({ code: 'OIDC_FAILED' });
    issuer.named = null;
  });
});
