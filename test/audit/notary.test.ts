import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHAIN_URL } from '../../src/audit/chain.ts';
import { openKeyFile, readPublicKey } from '../../src/audit/key-file.ts';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { Notary } from '../../src/audit/notary.ts';
import { decodeAnchor, encodeAnchor, signHead } from '../../src/audit/signed-head.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import { type FaultyStore, faultyStore } from '../store/faulty-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { entry } from './statements.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: FaultyStore;
let log: StoredAuditLog;
let notary: Notary;
let metrics: Metrics;
let logged: string[];
/** What the place of anchors does: null works, an error refuses, a promise waits. */
let refusal: Error | Promise<never> | null;

beforeEach(async () => {
  folder = await temporaryFolder();
  refusal = null;
  await start();
});
afterEach(async () => {
  refusal = null;
  store.failing = false;
  await stop();
  await folder.remove();
});

function place(): BlobStore {
  const real = new DirectoryBlobStore(join(folder.path, 'snapshots'));
  let closed = () => {};
  return new Proxy(real, {
    get(target, name) {
      if (name === 'putIfAbsent') {
        return async (key: string, bytes: Uint8Array) => {
          if (refusal instanceof Error) throw refusal;
          if (refusal !== null) {
            await Promise.race([
              refusal,
              new Promise((_, reject) => {
                closed = () => reject(new HoldfastError('BLOBS_FAILED', 'closed'));
              }),
            ]);
          }
          return await target.putIfAbsent(key, bytes);
        };
      }
      if (name === 'close') {
        return async () => {
          closed();
          await target.close();
        };
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function start(): Promise<void> {
  store = faultyStore(await SqliteControlStore.open(join(folder.path, 'holdfast.db'), CHAIN_URL));
  metrics = new Metrics();
  logged = [];
  const logger = createLogger('info', { write: (line) => logged.push(JSON.parse(line).msg) });
  log = await StoredAuditLog.open({ store, metrics, log: logger });
  const { key } = openKeyFile(join(folder.path, 'audit-key.pem'));
  notary = await Notary.open({ store, metrics, log: logger, key, blobs: place() }, 3_600_000);
}

async function stop(): Promise<void> {
  await log.close();
  await notary.close();
  await store.close();
}

async function write(): Promise<void> {
  log.finish(entry());
  await log.flush();
}

function anchors(): string[] {
  return readdirSync(join(folder.path, 'snapshots/audit/heads'));
}

describe('the notary', () => {
  it('signs at the start, where something is new, and at the end', async () => {
    await notary.attest();
    expect(await store.newestSignedHead()).toMatchObject({ sequence: 0, anchored: true });
    await notary.attest();
    await write();
    await notary.attest();
    await notary.attest();
    expect(await store.newestSignedHead()).toMatchObject({ sequence: 1, anchored: true });
    expect(metrics).toMatchObject({ auditHeads: 2, auditAnchors: 2, auditAnchoredSeq: 1 });
    await write();
    await stop();
    expect(anchors().map((name) => Number(name.slice(0, 16)))).toEqual([0, 1, 2]);
    await start();
    await notary.attest();
    expect(metrics.auditHeads).toBe(0);
  });

  it('says when it cannot anchor, tries the newest again, and says when it can', async () => {
    await notary.attest();
    refusal = new HoldfastError('BLOBS_FULL', 'the folder is full');
    for (let i = 0; i < 3; i++) {
      await write();
      await notary.attest();
    }
    expect(notary.anchorProblem).toBe('the folder is full');
    expect(metrics).toMatchObject({ auditAnchors: 1, auditAnchorFailures: 3, auditHeads: 4 });
    refusal = null;
    await notary.attest();
    expect(notary.anchorProblem).toBeNull();
    expect(metrics).toMatchObject({ auditAnchors: 2, auditAnchoredSeq: 3 });
    expect(logged.filter((line) => line.includes('anchored'))).toEqual([
      'the end of the audit cannot be anchored',
      'the end of the audit is anchored again',
    ]);
  });

  it('goes on when the store fails', async () => {
    await notary.attest();
    await write();
    store.failing = true;
    await notary.attest();
    expect(logged).toContain('the end of the audit cannot be signed');
    store.failing = false;
    await notary.attest();
    expect(await store.newestSignedHead()).toMatchObject({ sequence: 1, anchored: true });
  });

  it('does not wait for ever for an anchor when it ends', async () => {
    await notary.attest();
    refusal = new Promise<never>(() => {});
    await write();
    const begun = performance.now();
    await notary.close();
    expect(performance.now() - begun).toBeLessThan(7_000);
    expect(await store.newestSignedHead()).toMatchObject({ sequence: 1, anchored: false });
    refusal = null;
  });

  it('tells of another key, and of records that are gone', async () => {
    await write();
    await stop();
    const pair = generateKeyPairSync('ed25519');
    writeFileSync(
      join(folder.path, 'audit-key.pem'),
      String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' })),
    );
    await start();
    expect(logged).toContain('from here on the audit is signed with another key');
    await stop();
    const { DatabaseSync } = await import('node:sqlite');
    const database = new DatabaseSync(join(folder.path, 'holdfast.db'));
    database.exec('delete from audit_blocks');
    database.close();
    await start();
    expect(logged).toContain('the audit does not go on where it ended: run holdfast audit verify');
  });

  it('tells, by the anchors, of a store that was put back from a backup', async () => {
    const OLDER = expect.stringMatching(
      /^records that were anchored are not in the store: it is an older one/,
    );
    await write();
    await stop();
    const backup = readFileSync(join(folder.path, 'holdfast.db'));
    await start();
    await write();
    await notary.attest();
    expect(logged).not.toContainEqual(OLDER);
    await stop();
    writeFileSync(join(folder.path, 'holdfast.db'), backup);
    await start();
    await notary.attest();
    expect(logged).toContainEqual(OLDER);
    expect(await store.newestSignedHead()).toMatchObject({ sequence: 1, anchored: true });
  });
});

describe('the key', () => {
  it('is made once, for its owner alone', () => {
    const path = join(folder.path, 'deep/key.pem');
    const first = openKeyFile(path);
    expect(first).toMatchObject({ made: true, exposed: false });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    chmodSync(path, 0o644);
    const again = openKeyFile(path);
    expect(again).toMatchObject({ made: false, exposed: true });
    expect(again.key.id).toBe(first.key.id);
    expect(readPublicKey(path).id).toBe(first.key.id);
  });

  it('is refused when it is none, or of another kind', () => {
    const path = join(folder.path, 'key.pem');
    writeFileSync(path, 'no key');
    expect(() => openKeyFile(path)).toThrow(
      `the key of the audit ${path} cannot be used: it is no key in PEM form`,
    );
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    writeFileSync(path, String(rsa.export({ type: 'pkcs8', format: 'pem' })));
    expect(() => openKeyFile(path)).toThrow('it is a key of rsa, not of Ed25519');
    expect(() => readPublicKey(join(folder.path, 'none.pem'))).toThrow('ENOENT');
  });
});

describe('an anchor', () => {
  it('is what was signed, and nothing else', () => {
    const { key } = openKeyFile(join(folder.path, 'audit-key.pem'));
    const head = signHead({ sequence: 7, hash: Buffer.alloc(32, 9), time: '2026-05-17T09:30:05.250Z' }, key);
    const bytes = encodeAnchor(head);
    expect(decodeAnchor(bytes)).toMatchObject({ sequence: 7, keyId: key.id });
    const text = bytes.toString();
    for (const [from, to] of [
      ['"sequence": 7', '"sequence": 8'],
      ['0909', '0808'],
      ['2026', '2027'],
      [key.id, '0'.repeat(16)],
      ['{', ''],
    ] as const) {
      expect(decodeAnchor(Buffer.from(text.replace(from, to)))).toBeNull();
    }
  });

  it('is readable beside the snapshots', async () => {
    await notary.attest();
    const name = anchors()[0]!;
    const fields = JSON.parse(readFileSync(join(folder.path, 'snapshots/audit/heads', name), 'utf8'));
    expect(fields).toMatchObject({ format: 'holdfast audit head 1', sequence: 0, hash: '0'.repeat(64) });
  });
});
