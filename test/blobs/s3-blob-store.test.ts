import type { IncomingMessage } from 'node:http';
import { S3 } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { BlobStore, BlobSummary } from '../../src/blobs/blob-store.ts';
import { openBlobStore } from '../../src/blobs/open.ts';
import { type Expired, expire } from '../../src/snapshot/retention.ts';
import { allDays, findSnapshot, listSnapshots, removeSnapshot } from '../../src/snapshot/snapshots.ts';
import { all, blobStoreConformance } from '../conformance/blobs.ts';
import { putSnapshot } from '../snapshot/old-snapshots.ts';
import { S3_ACCESS_KEY, S3_KMS_KEY, S3_SECRET_KEY, S3Server } from '../support/s3-server.ts';
import { firstOnes, LossyProxy } from './lossy-proxy.ts';

const BUCKET = 'snapshots';
const LOCKED_BUCKET = 'snapshots-with-lock';

let server: S3Server;
/** Past the store, as another program would see the bucket. */
let s3: S3;

beforeAll(async () => {
  process.env['AWS_ACCESS_KEY_ID'] = S3_ACCESS_KEY;
  process.env['AWS_SECRET_ACCESS_KEY'] = S3_SECRET_KEY;
  server = await S3Server.start();
  s3 = new S3({ region: 'us-east-1', endpoint: server.endpoint, forcePathStyle: true });
  await s3.createBucket({ Bucket: BUCKET });
  await s3.createBucket({ Bucket: LOCKED_BUCKET, ObjectLockEnabledForBucket: true });
});
afterAll(async () => {
  s3.destroy();
  await server.stop();
});

let places = 0;
const newPrefix = (): string => `test-${++places}`;

async function uploadsBelow(prefix: string): Promise<number> {
  const { Uploads } = await s3.listMultipartUploads({ Bucket: BUCKET, Prefix: `${prefix}/` });
  return Uploads?.length ?? 0;
}

blobStoreConformance(
  'S3 (Ceph)',
  async () => {
    const prefix = newPrefix();
    return {
      open: () => openBlobStore(`s3://${BUCKET}/${prefix}@${server.endpoint}`),
      unfinished: () => uploadsBelow(prefix),
      remove: async () => {},
    };
  },
  {
    largeBytes: 200 * 1024 * 1024,
    memoryBytes: 160 * 1024 * 1024,
    entries: LIMITS.blobListPageMax + 100,
  },
);

const SEVERAL_PARTS = LIMITS.s3PartBytes * 3;

async function write(store: BlobStore, key: string, bytes: Uint8Array): Promise<BlobSummary> {
  const writer = await store.create(key);
  await writer.write(bytes);
  return await writer.finish();
}

async function bytesOf(store: BlobStore, key: string, expected: BlobSummary): Promise<Buffer> {
  return Buffer.concat(await all(store.read(key, { expected })));
}

describe('what does not work is said with what to do', () => {
  afterEach(() => {
    process.env['AWS_ACCESS_KEY_ID'] = S3_ACCESS_KEY;
    process.env['AWS_SECRET_ACCESS_KEY'] = S3_SECRET_KEY;
  });

  async function refusal(url: string): Promise<string> {
    const store = openBlobStore(url);
    const failure = await store.probe().then(
      () => undefined,
      (error: unknown) => error,
    );
    await store.close();
    expect(failure).toMatchObject({ name: 'HoldfastError' });
    const { code, message, hint, detail, stack } = failure as Record<string, string | undefined>;
    expect(`${message} ${detail} ${hint} ${stack}`).not.toContain(process.env['AWS_SECRET_ACCESS_KEY']);
    return `${code}: ${message}`;
  }

  it('a wrong secret', async () => {
    process.env['AWS_SECRET_ACCESS_KEY'] = 'not-the-secret';
    expect(await refusal(`s3://${BUCKET}@${server.endpoint}`)).toBe(
      `BLOBS_REFUSED: the S3 server ${server.endpoint} refuses the credentials for the snapshots`,
    );
  });

  it('a key that nobody has', async () => {
    process.env['AWS_ACCESS_KEY_ID'] = 'stranger';
    expect(await refusal(`s3://${BUCKET}@${server.endpoint}`)).toMatch(/refuses the credentials/);
  });

  it('a bucket that is not there', async () => {
    const url = `s3://no-such-bucket@${server.endpoint}`;
    const sentence = `there is no bucket no-such-bucket at ${server.endpoint}`;
    expect(await refusal(url)).toBe(`BLOBS_REFUSED: ${sentence}`);
    const store = openBlobStore(url);
    await expect(store.stat('a')).rejects.toThrow(sentence);
    await expect(all(store.list(''))).rejects.toThrow(sentence);
    await expect(store.sweepOrphans(0)).rejects.toThrow(sentence);
    await expect(write(store, 'a', Buffer.alloc(SEVERAL_PARTS))).rejects.toThrow(sentence);
    await store.close();
  });

  it('a server that is not there', async () => {
    expect(await refusal(`s3://${BUCKET}@http://127.0.0.1:1`)).toMatch(
      /^BLOBS_FAILED: the S3 server .* cannot be reached/,
    );
  });

  it('an encryption that the server leaves out without a word, and nothing stays there in the clear', async () => {
    const prefix = newPrefix();
    const url = `s3://${BUCKET}/${prefix}@${server.endpoint}?sse=AES256`;
    const sentence = /^the S3 server does not encrypt with AES256/;
    expect(await refusal(url)).toMatch(/^BLOBS_REFUSED: the S3 server does not encrypt with AES256/);
    const store = openBlobStore(url);
    for (const size of [10, SEVERAL_PARTS]) {
      await expect(write(store, 'a', Buffer.alloc(size))).rejects.toThrow(sentence);
    }
    expect(await all(store.list(''))).toEqual([]);
    expect(await uploadsBelow(prefix)).toBe(0);
    await store.close();
  });

  it('an encryption with a key that is not there', async () => {
    const url = `s3://${BUCKET}/${newPrefix()}@${server.endpoint}?sse=aws:kms&sse_key=another`;
    expect(await refusal(url)).toBe('BLOBS_REFUSED: the KMS key for the snapshots cannot be used');
  });

  it('a lock where conditions are ignored in buckets with versions, as here', async () => {
    const url = `s3://${LOCKED_BUCKET}/${newPrefix()}@${server.endpoint}?lock=governance&lock_days=1`;
    const store = openBlobStore(url);
    await expect(store.probe()).rejects.toMatchObject({
      ...{ code: 'BLOBS_REFUSED', hint: expect.stringContaining('also in buckets with versions') },
    });
    await store.close();
  });

  it('a lock in a bucket that has none', async () => {
    const url = `s3://${BUCKET}/${newPrefix()}@${server.endpoint}?lock=governance&lock_days=1`;
    expect(await refusal(url)).toBe(`BLOBS_REFUSED: the bucket ${BUCKET} does not take blobs with a lock`);
  });
});

it('what was removed in spite of a lock is still known', async () => {
  const place = `${LOCKED_BUCKET}/${newPrefix()}@${server.endpoint}`;
  const store = openBlobStore(`s3://${place}?lock=governance&lock_days=1`);
  for (const key of ['a/1', 'a/2', 'a/3', 'b/1']) await store.putIfAbsent(key, Buffer.from(key));
  for (const key of ['a/1', 'a/3', 'b/1']) await store.remove(key);
  await store.putIfAbsent('a/3', Buffer.from('again'));
  const removed: string[] = [];
  for await (const key of store.removed!('a/')) removed.push(key);
  expect(removed).toEqual(['a/1']);
  await store.close();
});

describe('settings', () => {
  const SIZES = { short: 1000, 'in parts': SEVERAL_PARTS };

  for (const [name, size] of Object.entries(SIZES)) {
    it(`a blob, ${name}, is encrypted with the key`, async () => {
      const prefix = newPrefix();
      const store = openBlobStore(
        `s3://${BUCKET}/${prefix}@${server.endpoint}?sse=aws:kms&sse_key=${S3_KMS_KEY}`,
      );
      const bytes = Buffer.alloc(size, 'plain');
      const summary = await write(store, 'a', bytes);
      expect((await bytesOf(store, 'a', summary)).equals(bytes)).toBe(true);
      expect(await s3.headObject({ Bucket: BUCKET, Key: `${prefix}/a` })).toMatchObject({
        ServerSideEncryption: 'aws:kms',
        SSEKMSKeyId: S3_KMS_KEY,
      });
      await store.close();
    });

    it(`a blob, ${name}, cannot be removed for good before its time`, async () => {
      const prefix = newPrefix();
      const store = openBlobStore(
        `s3://${LOCKED_BUCKET}/${prefix}@${server.endpoint}?lock=compliance&lock_days=2`,
      );
      const summary = await write(store, 'a', Buffer.alloc(size, 'kept'));
      const place = { Bucket: LOCKED_BUCKET, Key: `${prefix}/a` };
      const { VersionId } = await s3.headObject(place);
      const { Retention } = await s3.getObjectRetention({ ...place, VersionId });
      expect(Retention?.Mode).toBe('COMPLIANCE');
      expect((Retention!.RetainUntilDate!.getTime() - Date.now()) / 86_400_000).toBeCloseTo(2, 2);
      await expect(s3.deleteObject({ ...place, VersionId })).rejects.toMatchObject({ name: 'AccessDenied' });
      await store.remove('a');
      expect(await store.stat('a')).toBeNull();
      const { Body } = await s3.getObject({ ...place, VersionId });
      expect((await Body!.transformToByteArray()).length).toBe(summary.bytes);
      expect(await store.putIfAbsent('a', Buffer.from('again'))).toMatchObject({ kind: 'created' });
      await store.close();
    });
  }
});

describe('between store and server', () => {
  let proxy: LossyProxy;
  let prefix: string;
  let store: BlobStore;

  beforeEach(async () => {
    proxy = await LossyProxy.start(server.port);
    prefix = newPrefix();
    store = openBlobStore(`s3://${BUCKET}/${prefix}@${proxy.endpoint}`);
  });
  afterEach(async () => {
    await store.close();
    await proxy.stop();
  });

  it('the answer to a put that must not replace is lost: the second attempt knows its own', async () => {
    proxy.fateOf = firstOnes(['lose-answer'], ({ method }) => method === 'PUT');
    expect(await store.putIfAbsent('m', Buffer.from('mine'))).toMatchObject({ kind: 'created' });
    proxy.fateOf = firstOnes(['lose-answer'], ({ method }) => method === 'PUT');
    expect(await store.putIfAbsent('m', Buffer.from('mine'))).toEqual({ kind: 'exists' });
  });

  it('the answer to the completion of an upload is lost: the second attempt knows its own', async () => {
    proxy.fateOf = firstOnes(
      ['lose-answer'],
      ({ method, url }) => method === 'POST' && /uploadId/.test(url!),
    );
    const bytes = Buffer.alloc(SEVERAL_PARTS, 'x');
    const summary = await write(store, 'a', bytes);
    expect((await bytesOf(store, 'a', summary)).equals(bytes)).toBe(true);
    expect(await uploadsBelow(prefix)).toBe(0);
  });

  it('an upload that is gone was completed, or not, as the object tells', async () => {
    const gone = { status: 404, code: 'NoSuchUpload' };
    const completes = ({ method, url }: IncomingMessage): boolean =>
      method === 'POST' && /uploadId/.test(url!);
    const bytes = Buffer.alloc(SEVERAL_PARTS, 'x');
    proxy.fateOf = firstOnes(['lose-answer', gone], completes);
    const summary = await write(store, 'a', bytes);
    expect((await bytesOf(store, 'a', summary)).equals(bytes)).toBe(true);
    for (const key of ['a', 'b']) {
      proxy.fateOf = firstOnes([gone], completes);
      await expect(write(store, key, bytes)).rejects.toMatchObject({ name: 'HoldfastError' });
    }
    expect(await store.stat('b')).toBeNull();
    expect(await uploadsBelow(prefix)).toBe(0);
  });

  it('another put is under way: the server is asked again', async () => {
    const conflict = { status: 409, code: 'ConditionalRequestConflict' };
    proxy.fateOf = firstOnes([conflict, conflict], ({ method }) => method === 'PUT');
    expect(await store.putIfAbsent('m', Buffer.from('mine'))).toMatchObject({ kind: 'created' });
    proxy.fateOf = firstOnes([conflict], ({ method }) => method === 'PUT');
    expect(await store.putIfAbsent('m', Buffer.from('mine'))).toEqual({ kind: 'exists' });
    proxy.fateOf = ({ method }) => (method === 'PUT' ? conflict : 'pass');
    await expect(store.putIfAbsent('n', Buffer.from('mine'))).rejects.toMatchObject({
      name: 'HoldfastError',
    });
  });

  it('answers to parts are lost: they are sent again', async () => {
    proxy.fateOf = firstOnes(
      ['lose-answer', 'lose-answer', 'lose-answer'],
      ({ method, url }) => method === 'PUT' && /partNumber/.test(url!),
    );
    const bytes = Buffer.alloc(SEVERAL_PARTS, 'x');
    const summary = await write(store, 'a', bytes);
    expect((await bytesOf(store, 'a', summary)).equals(bytes)).toBe(true);
  });

  it('a bit changes on the way: the server refuses it, and no blob is there', async () => {
    proxy.fateOf = ({ method }) => (method === 'PUT' ? 'change-body' : 'pass');
    for (const size of [1000, SEVERAL_PARTS]) {
      await expect(write(store, 'a', Buffer.alloc(size))).rejects.toMatchObject({
        detail: expect.stringContaining('XAmzContentSHA256Mismatch'),
      });
      expect(await store.stat('a')).toBeNull();
      expect(await uploadsBelow(prefix)).toBe(0);
    }
    await expect(store.putIfAbsent('m', Buffer.from('x'))).rejects.toMatchObject({ code: 'BLOBS_REFUSED' });
    expect(await store.stat('m')).toBeNull();
  });

  it('nothing answers: giving up does not wait for it', async () => {
    proxy.fateOf = () => 'hold';
    const writer = await store.create('a');
    const writing = writer.write(Buffer.alloc(SEVERAL_PARTS)).catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const before = performance.now();
    await store.close();
    expect(await writing).toMatchObject({ code: 'BLOBS_FAILED' });
    expect(performance.now() - before).toBeLessThan(2 * LIMITS.s3AbortTimeoutMs);
  });

  it('a read breaks off: it goes on where it was', async () => {
    const bytes = Buffer.alloc(LIMITS.s3ReadBytes * 3, 'some rows');
    const summary = await write(store, 'a', bytes);
    proxy.fateOf = firstOnes(['cut-answer', 'cut-answer', 'cut-answer'], ({ method }) => method === 'GET');
    expect((await bytesOf(store, 'a', summary)).equals(bytes)).toBe(true);
    proxy.fateOf = ({ method }) => (method === 'GET' ? 'cut-answer' : 'pass');
    await expect(bytesOf(store, 'a', summary)).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
  });

  it('what was written at once is verified without being asked to', async () => {
    await write(store, 'a', Buffer.from('rows'));
    const place = { Bucket: BUCKET, Key: `${prefix}/a` };
    const { Metadata } = await s3.headObject(place);
    await s3.putObject({ ...place, Metadata, Body: 'Rows' });
    await expect(all(store.read('a'))).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  });
});

describe('the server dies in the middle of an upload', () => {
  it('the writer is told, no blob is there, and what is left is swept', async () => {
    const prefix = newPrefix();
    const store = openBlobStore(`s3://${BUCKET}/${prefix}@${server.endpoint}`);
    const writer = await store.create('a');
    await writer.write(Buffer.alloc(SEVERAL_PARTS, 'x'));
    await server.killGateway();
    const failure = (async () => {
      for (let i = 0; i < 10; i++) await writer.write(Buffer.alloc(LIMITS.s3PartBytes));
      await writer.finish();
    })();
    await expect(failure).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
    await expect(store.stat('a')).rejects.toMatchObject({ code: 'BLOBS_FAILED' });

    await server.startGateway();
    expect(await store.stat('a')).toBeNull();
    expect(await all(store.list(''))).toEqual([]);
    expect(await uploadsBelow(prefix)).toBe(1);
    expect(await store.sweepOrphans(0)).toBe(1);
    expect(await uploadsBelow(prefix)).toBe(0);
    await store.probe();
    await store.close();
  });
});

describe('snapshots on S3', () => {
  it('are found by the beginning of their ids, listed over empty months, and expire', async () => {
    const store = openBlobStore(`s3://${BUCKET}/${newPrefix()}@${server.endpoint}`);
    const DAY_MS = 24 * 60 * 60_000;
    const nowMs = Date.now();
    try {
      const [old, recent] = [await putSnapshot(store, nowMs - 400 * DAY_MS), await putSnapshot(store, nowMs)];
      const listed: string[] = [];
      for await (const { id } of listSnapshots(store, allDays(nowMs))) listed.push(id);
      expect(listed).toEqual([recent, old]);
      expect((await findSnapshot(store, 'latest')).id).toBe(recent);
      for (const asked of [old, old.slice(0, -3), old.slice('snap_'.length, -5)]) {
        expect((await findSnapshot(store, asked)).id).toBe(old);
      }
      // Written now, they are taken for young, whatever their ids say; the size of all takes the first all the same.
      const gone: string[] = [];
      const retention = { ageMs: 3 * DAY_MS, bytes: null };
      const remove = async ({ id, folder }: Expired) => {
        gone.push(id);
        await removeSnapshot(store, folder);
      };
      await expire(store, retention, nowMs + 2 * DAY_MS, remove);
      expect(gone).toEqual([]);
      const kept = await expire(store, { ageMs: null, bytes: 1500 }, nowMs + 2 * DAY_MS, remove);
      expect([gone, kept.snapshots]).toEqual([[old], 1]);
      await expect(findSnapshot(store, old)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    } finally {
      await store.close();
    }
  });
});
