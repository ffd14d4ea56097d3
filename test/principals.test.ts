import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findToken, hashToken } from '../src/admin/tokens.ts';
import { StoredAuditLog } from '../src/audit/log.ts';
import { AuditQuery } from '../src/audit/query.ts';
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
const WANTED = {
  ...{ scopes: ['audit:read'], expiresAtMs: null, roles: ['app'], groups: ['dba'], person: 'anna' },
  ...{ subject: null, makerSha256: null },
};
const { makerSha256: _unsaid, ...GIVEN } = WANTED;

/** Made with one of `principals`, as the route does it. */
async function makeWith(
  principals: Principals,
  maker: string,
  name: string,
  changes: object = {},
): Promise<string> {
  const makerSha256 = principals.all.find((token) => token.name === maker)!.sha256;
  const wanted = { ...WANTED, name, makerSha256, ...changes };
  return (await principals.create(wanted, `token:${maker}`, '')).secret;
}
const found = (principals: Principals, secret: string, nowMs = 0) =>
  findToken(secret, principals.all, nowMs)?.name;

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

  it('come with the file that is put where it is looked for after the start', async () => {
    const before = process.cwd();
    process.chdir(folder.path);
    try {
      const principals = await open(null);
      expect(names(principals)).toEqual(['admin']);
      mkdirSync('config');
      writeFileSync('config/tokens.yaml', `tokens:\n${line('anna', 'a')}`);
      expect(names(principals)).toEqual(['anna', 'admin']);
      rmSync('config/tokens.yaml');
      expect(names(principals)).toEqual(['admin']);
    } finally {
      process.chdir(before);
    }
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
      expect(findToken(secret, one.all, 0)).toMatchObject({ name: 'bert', ...GIVEN });
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

describe('what a token has made', () => {
  it('is revoked with it, all the way down, which the audit says', async () => {
    const principals = await open(null);
    const bert = await makeWith(principals, 'admin', 'bert');
    const carl = await makeWith(principals, 'bert', 'carl');
    const dora = await makeWith(principals, 'carl', 'dora');
    const other = await makeWith(principals, 'admin', 'other');
    expect(await principals.revoke('bert', 'token:admin', '')).toEqual(['carl', 'dora']);
    for (const one of [principals, await open(null)]) {
      expect([bert, carl, dora, other].map((secret) => found(one, secret))).toEqual([
        ...[undefined, undefined, undefined, 'other'],
      ]);
      expect(names(one)).toEqual(['admin', 'other']);
    }
    await audit.flush();
    const query = new AuditQuery({ store, log: audit });
    const page = await query.search({ filter: {}, cursor: null, limit: 1 });
    await query.close();
    expect(JSON.stringify(page)).toContain('revoke token bert, and what it has made: carl, dora');
  });

  it('does not come back with another token of that name', async () => {
    const principals = await open(null);
    await makeWith(principals, 'admin', 'bert');
    const { sha256: makerSha256 } = principals.all.find(({ name }) => name === 'bert')!;
    await principals.revoke('bert', 'token:admin', '');
    // One that was being made meanwhile.
    const { secret } = await principals.create({ ...WANTED, name: 'late', makerSha256 }, 'token:bert', '');
    expect(found(principals, secret)).toBeUndefined();
    await makeWith(principals, 'admin', 'bert');
    for (const one of [principals, await open(null)]) {
      expect(found(one, secret)).toBeUndefined();
      expect(one.all.find(({ name }) => name === 'late')?.endedBecause).toMatch(/bert.* is no more/);
    }
  });

  it('is refused while the one of the file is not there, or stands for another secret', async () => {
    const withAnna = `tokens:\n${line('anna', 'a')}`;
    writeFileSync(path, withAnna);
    const principals = await open();
    const bert = await makeWith(principals, 'anna', 'bert');
    const carl = await makeWith(principals, 'bert', 'carl');
    const both = () => [found(principals, bert), found(principals, carl)];
    expect(both()).toEqual(['bert', 'carl']);
    for (const text of ['tokens: []', `tokens:\n${line('anna', 'another')}`, null]) {
      if (text === null) rmSync(path);
      else writeFileSync(path, text);
      expect([text, ...both()]).toEqual([text, undefined, undefined]);
    }
    expect(logged.join()).toContain('those that have made them are no more');
    expect((await open()).made, 'nobody is let in by a restart').toBeNull();
    // A slip of whoever edits the file costs nobody their token.
    writeFileSync(path, withAnna);
    expect(both()).toEqual(['bert', 'carl']);
  });

  it('expires with it, also where its time was made shorter since', async () => {
    const until = (day: string) => `${line('anna', 'a').replace(' }', `, expires: ${day} }`)}`;
    writeFileSync(path, `tokens:\n${until('2031-01-02')}`);
    const principals = await open();
    const bert = await makeWith(principals, 'anna', 'bert', { expiresAtMs: Date.parse('2031-01-02') });
    const carl = await makeWith(principals, 'bert', 'carl');
    const dayBefore = Date.parse('2031-01-01T12:00:00Z');
    expect([bert, carl].map((secret) => found(principals, secret, dayBefore))).toEqual(['bert', 'carl']);
    expect(found(principals, carl, Date.parse('2031-01-02'))).toBeUndefined();
    writeFileSync(path, `tokens:\n${until('2031-01-01')}`);
    expect([bert, carl].map((secret) => found(principals, secret, dayBefore))).toEqual([
      undefined,
      undefined,
    ]);
    expect(principals.all.map(({ expiresAtMs }) => expiresAtMs)).toEqual(
      Array(3).fill(Date.parse('2031-01-01')),
    );
  });

  it('of an earlier version has ended where its maker has', async () => {
    const row = { ...WANTED, person: null };
    await store.insertToken({
      ...row,
      name: 'first',
      sha256: hashToken('f'),
      createdAtMs: 5,
      createdBy: 'holdfast',
    });
    for (const [name, createdBy, createdAtMs] of [
      ['child', 'token:first', 6],
      ['of an older one', 'token:first', 4],
      ['orphan', 'token:gone', 6],
      ['of an issuer', 'token:oidc:anna', 6],
      ['chicken', 'token:egg', 6],
      ['egg', 'token:chicken', 6],
    ] as const) {
      await store.insertToken({ ...row, name, sha256: hashToken(name), createdBy, createdAtMs });
    }
    const { all } = await open(null);
    expect(all.filter((token) => token.endedBecause === null).map(({ name }) => name)).toEqual([
      'child',
      'first',
    ]);
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
