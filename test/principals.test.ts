import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findToken, hashToken } from '../src/admin/tokens.ts';
import { StoredAuditLog } from '../src/audit/log.ts';
import { createLogger } from '../src/base/log.ts';
import { Metrics } from '../src/base/metrics.ts';
import { Principals } from '../src/principals.ts';
import { SqliteControlStore } from '../src/store/sqlite-control-store.ts';
import { type FaultyStore, faultyStore } from './store/faulty-store.ts';
import { temporaryFolder } from './store/temporary-folder.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: FaultyStore;
let audit: StoredAuditLog;
let path: string;
const logged: string[] = [];
const log = createLogger('info', { write: (line) => logged.push(line) });

beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, 'tokens.yaml');
  store = faultyStore(await SqliteControlStore.open(join(folder.path, 'holdfast.db')));
  audit = await StoredAuditLog.open({ store, metrics: new Metrics(), log });
  logged.length = 0;
});
afterEach(async () => {
  store.failing = false;
  await audit.close();
  await store.close();
  await folder.remove();
});

const open = (file: string | null = path) => Principals.open({ path: file, store, audit, log });
const line = (name: string, secret: string) =>
  `  - { name: ${name}, sha256: ${hashToken(secret)}, scopes: [audit:read] }\n`;
const names = (principals: Principals) => principals.all.map(({ name }) => name);
const WANTED = { scopes: ['audit:read'], expiresAtMs: null, roles: ['app'], groups: ['dba'], person: 'anna' };

describe('tokens of the file', () => {
  it('come and go with it, without a restart', async () => {
    writeFileSync(path, `tokens:\n${line('anna', 'a')}`);
    const principals = await open();
    expect(principals.made).toBeNull();
    expect(findToken('a', principals.all, 0)).toMatchObject({ name: 'anna', source: 'file' });
    writeFileSync(path, `tokens:\n${line('bert', 'b')}${line('carl', 'c')}`);
    expect(names(principals)).toEqual(['bert', 'carl']);
    rmSync(path);
    expect(names(principals)).toEqual([]);
  });

  it('stay as they were where the file says nothing that is understood, which is logged once', async () => {
    writeFileSync(path, `tokens:\n${line('anna', 'a')}`);
    const principals = await open();
    writeFileSync(path, 'tokens: [{ name: eve, sha256: hunter2-hunter2, scopes: ["*"] }]');
    expect([names(principals), names(principals)]).toEqual([['anna'], ['anna']]);
    expect(logged.filter((entry) => entry.includes('the old stay'))).toHaveLength(1);
    expect(principals.problem).toContain('tokens.yaml');
    expect([...logged, principals.problem].join()).not.toContain('hunter2');
    writeFileSync(path, `tokens:\n${line('bert', 'b')}`);
    expect([names(principals), principals.problem]).toEqual([['bert'], null]);
    writeFileSync(path, 'tokens: [');
    expect([names(principals), principals.problem]).toEqual([['bert'], expect.any(String)]);
    rmSync(path);
    expect([names(principals), principals.problem]).toEqual([[], null]);
  });

  it('are not revoked but where they stand', async () => {
    writeFileSync(path, `tokens:\n${line('anna', 'a')}`);
    const principals = await open();
    await expect(principals.revoke('anna', 'token:x', '')).rejects.toMatchObject({
      code: 'CONFLICT',
      message: `anna stands in ${path}; remove it there`,
    });
  });
});

describe('tokens of the store', () => {
  it('are made once where there are none at all', async () => {
    const { made } = await open(null);
    expect(made).toMatch(/^hf_/);
    const again = await open(null);
    expect(again.made).toBeNull();
    expect(findToken(made!, again.all, 0)).toMatchObject({ name: 'admin', scopes: ['*'], source: 'store' });
  });

  it('hold from when they are made until they are revoked, over a restart', async () => {
    const principals = await open(null);
    const { secret } = await principals.create({ name: 'bert', ...WANTED }, 'token:admin', '');
    for (const one of [principals, await open(null)]) {
      expect(findToken(secret, one.all, 0)).toMatchObject({ name: 'bert', ...WANTED });
    }
    await principals.revoke('bert', 'token:admin', '');
    for (const one of [principals, await open(null)]) expect(findToken(secret, one.all, 0)).toBeNull();
    expect(JSON.stringify(await store.tokens())).not.toContain(secret);
  });

  it('have a name that nobody else has, nor an issuer could give', async () => {
    const principals = await open(null);
    for (const name of ['admin', 'oidc:anna']) {
      await expect(principals.create({ name, ...WANTED }, 'x', '')).rejects.toMatchObject({
        code: 'CONFLICT',
      });
    }
  });

  it('of an earlier version are whose their makers are, as far as these are known', async () => {
    writeFileSync(path, `tokens:\n${line('alice', 'a')}`);
    const row = { ...WANTED, person: null, createdAtMs: 0 };
    for (const [name, createdBy, scopes] of [
      ['first', 'holdfast', ['*']],
      ['ben', 'token:first', ['approval:write']],
      ['one', 'token:alice', ['approval:write']],
      ['two', 'token:one', ['approval:write']],
      ['three', 'token:oidc:carl', ['approval:write']],
      ['chicken', 'token:egg', ['approval:write']],
      ['egg', 'token:chicken', ['approval:write']],
    ] as const) {
      await store.insertToken({ ...row, name, sha256: hashToken(name), createdBy, scopes });
    }
    const { all } = await open();
    expect(Object.fromEntries(all.map(({ name, person }) => [name, person]))).toMatchObject({
      ...{ first: 'first', ben: 'first', alice: 'alice', one: 'alice', two: 'alice', three: 'carl' },
    });
    expect(all.find(({ name }) => name === 'two')?.roles).toEqual(['app', 'alice', 'one']);
  });

  it('are not made where the store fails, and revoked all the same', async () => {
    const principals = await open(null);
    const { secret } = await principals.create({ name: 'bert', ...WANTED }, 'x', '');
    store.failing = true;
    const failed = { code: 'STORE_FAILED' };
    await expect(principals.create({ name: 'carl', ...WANTED }, 'x', '')).rejects.toMatchObject(failed);
    await expect(principals.revoke('bert', 'x', '')).rejects.toMatchObject(failed);
    expect(names(principals)).toEqual(['admin']);
    expect(findToken(secret, principals.all, 0)).toBeNull();
  });
});

describe('an issuer', () => {
  const ISSUER = `oidc:
  issuer: https://login.example
  audience: holdfast
  role_claim: roles
  roles: [{ role: dba, scopes: [approval:read] }]
`;

  it('stands in the file too, so that no first token is made', async () => {
    writeFileSync(path, `tokens: []\n${ISSUER}`);
    const principals = await open();
    expect(principals.made).toBeNull();
    expect(principals.oidc?.settings).toMatchObject({ issuer: 'https://login.example', nameClaim: 'sub' });
    const before = principals.oidc;
    writeFileSync(path, `tokens:\n${line('anna', 'a')}${ISSUER}`);
    expect(principals.oidc, 'keeps its keys').toBe(before);
    writeFileSync(path, `tokens:\n${line('anna', 'a')}`);
    expect(principals.oidc).toBeNull();
  });
});
