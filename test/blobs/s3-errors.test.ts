import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { type BlobTarget, parseBlobTarget } from '../../src/blobs/blob-target.ts';
import { s3Error } from '../../src/blobs/s3-errors.ts';

function target(url: string): Extract<BlobTarget, { kind: 's3' }> {
  const parsed = parseBlobTarget(url);
  if (!parsed.ok || parsed.value.kind !== 's3') throw new Error(`${url} is no place in S3`);
  return parsed.value;
}

const PLAIN = target('s3://rows@http://h:1');

/** An error as the SDK throws it. */
function answered(name: string, status: number, message = ''): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status, attempts: 1 } });
}

describe('what S3 and the SDK say becomes one sentence with a code', () => {
  const cases: [error: unknown, code: string, message: RegExp][] = [
    [answered('NoSuchBucket', 404), 'BLOBS_REFUSED', /^there is no bucket rows at http:\/\/h:1$/],
    [answered('RequestTimeTooSkewed', 403), 'BLOBS_REFUSED', /the clock of this machine/],
    [answered('ExpiredToken', 400), 'BLOBS_REFUSED', /refuses the credentials/],
    [answered('AccessDenied', 403), 'BLOBS_REFUSED', /do not allow/],
    [answered('Unknown', 403), 'BLOBS_REFUSED', /do not allow/],
    [answered('PermanentRedirect', 301), 'BLOBS_REFUSED', /another region/],
    [answered('KMS.DisabledException', 400), 'BLOBS_REFUSED', /KMS key/],
    [answered('QuotaExceeded', 403), 'BLOBS_FULL', /no space left/],
    [answered('Unknown', 507), 'BLOBS_FULL', /no space left/],
    [answered('NotImplemented', 501), 'BLOBS_FAILED', /failed$/],
    [answered('SlowDown', 503), 'BLOBS_FAILED', /asks for fewer requests$/],
    [answered('Unknown', 429), 'BLOBS_FAILED', /asks for fewer requests$/],
    [answered('MethodNotAllowed', 405), 'BLOBS_REFUSED', /failed$/],
    [Object.assign(new Error('x'), { name: 'TimeoutError' }), 'BLOBS_FAILED', /cannot be reached/],
    [Object.assign(new Error('x'), { code: 'ECONNRESET' }), 'BLOBS_FAILED', /cannot be reached/],
    [Object.assign(new Error('x'), { name: 'CredentialsProviderError' }), 'BLOBS_REFUSED', /no credentials/],
    [new Error('Region is missing'), 'BLOBS_REFUSED', /region of the bucket/],
    ['what is no error', 'BLOBS_FAILED', /failed$/],
  ];
  for (const [error, code, message] of cases) {
    it(`${String(error)} is ${code}`, () => {
      expect(s3Error(error, PLAIN)).toMatchObject({ code, message: expect.stringMatching(message) });
    });
  }

  it('an error that has our name keeps it', () => {
    const own = new HoldfastError('BLOB_NOT_FOUND', 'there is no blob a');
    expect(s3Error(own, PLAIN)).toBe(own);
  });

  it('a request that is not valid is about the lock where one is asked for', () => {
    const error = answered('InvalidRequest', 400, 'Bucket is missing Object Lock Configuration');
    const locked = target('s3://rows?lock=compliance&lock_days=3');
    expect(s3Error(error, locked).message).toBe('the bucket rows does not take blobs with a lock');
    expect(s3Error(error, PLAIN)).toMatchObject({ message: 'the S3 server http://h:1 failed' });
  });
});
