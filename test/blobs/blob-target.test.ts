import { describe, expect, it } from 'vitest';
import { parseBlobTarget } from '../../src/blobs/blob-target.ts';
import { openBlobStore } from '../../src/blobs/open.ts';

const PLAIN = {
  kind: 's3',
  bucket: 'rows',
  prefix: '',
  endpoint: null,
  region: null,
  pathStyle: false,
  encryption: null,
  lock: null,
};

describe('a place for blobs', () => {
  const understood: Record<string, object> = {
    'file:data/snapshots': { kind: 'file', directory: 'data/snapshots' },
    'file:/var/lib/holdfast': { kind: 'file', directory: '/var/lib/holdfast' },
    'file:///var/lib/holdfast': { kind: 'file', directory: '/var/lib/holdfast' },
    'file:C?&@#': { kind: 'file', directory: 'C?&@#' },
    's3://rows': PLAIN,
    's3://rows/': PLAIN,
    's3://rows/a/b_c-d.e/': { ...PLAIN, prefix: 'a/b_c-d.e' },
    's3://rows@http://127.0.0.1:7480': { ...PLAIN, endpoint: 'http://127.0.0.1:7480', pathStyle: true },
    's3://rows/a@https://s3.example.com/?path_style=false': {
      ...PLAIN,
      prefix: 'a',
      endpoint: 'https://s3.example.com',
    },
    's3://rows?region=eu-central-1&path_style=true': { ...PLAIN, region: 'eu-central-1', pathStyle: true },
    's3://rows?sse=AES256': { ...PLAIN, encryption: { kind: 'AES256' } },
    's3://rows?sse=aws:kms': { ...PLAIN, encryption: { kind: 'aws:kms', keyId: null } },
    's3://rows?sse=aws:kms&sse_key=arn:aws:kms:eu-central-1:1234:key/ab-cd': {
      ...PLAIN,
      encryption: { kind: 'aws:kms', keyId: 'arn:aws:kms:eu-central-1:1234:key/ab-cd' },
    },
    's3://rows?lock=governance&lock_days=30': { ...PLAIN, lock: { mode: 'GOVERNANCE', days: 30 } },
    's3://rows/a@http://h:1?lock=compliance&lock_days=1': {
      ...PLAIN,
      prefix: 'a',
      endpoint: 'http://h:1',
      pathStyle: true,
      lock: { mode: 'COMPLIANCE', days: 1 },
    },
  };
  for (const [text, value] of Object.entries(understood)) {
    it(`is ${text}`, () => expect(parseBlobTarget(text)).toEqual({ ok: true, value }));
  }

  const forms = /^expected file:DIRECTORY, s3:\/\/bucket\/prefix or s3:\/\/bucket@http:\/\/host:port$/;
  const refused: Record<string, RegExp> = {
    '': forms,
    'data/snapshots': forms,
    'ftp://x/y': forms,
    's3:rows': forms,
    's3://': forms,
    's3://Rows': forms,
    's3://ro': forms,
    's3:///a': forms,
    'file:': /^expected file:DIRECTORY, like/,
    'file:  ': /^expected file:DIRECTORY, like/,
    'file://data/snapshots': /^expected file:DIRECTORY, like/,
    'file:a\0b': /^expected file:DIRECTORY, like/,
    's3://AKIAX:hunter2@rows': /^takes no credentials/,
    's3://AKIAX:hun/ter2@rows/a': /^takes no credentials/,
    's3://rows@http://u:hunter2@h:1': /^takes no credentials/,
    's3://rows/../x': /^the prefix after the bucket/,
    's3://rows/A': /^the prefix after the bucket/,
    's3://rows/a//b': /^the prefix after the bucket/,
    's3://rows/.a': /^the prefix after the bucket/,
    's3://rows@': /is not a URL/,
    's3://rows@h:1': /is not a URL/,
    's3://rows@ftp://h': /is not a URL/,
    's3://rows@http://h:1/a': /a prefix stands before the @$/,
    's3://rows?regoin=x': /^unknown parameter "regoin"; did you mean "region"\?$/,
    's3://rows?region=a&region=b': /^parameter "region" is there twice$/,
    's3://rows?region=EU!': /^region is/,
    's3://rows?path_style=yes': /^path_style is true or false$/,
    's3://rows?sse=yes': /^sse is AES256 or aws:kms$/,
    's3://rows?sse_key=x': /^sse_key is for sse=aws:kms$/,
    's3://rows?sse=AES256&sse_key=x': /^sse_key is for sse=aws:kms$/,
    's3://rows?sse=aws:kms&sse_key=': /^sse_key is empty$/,
    's3://rows?lock=governance': /^lock and lock_days go together$/,
    's3://rows?lock_days=1': /^lock and lock_days go together$/,
    's3://rows?lock=hard&lock_days=1': /^lock is governance or compliance$/,
    's3://rows?lock=governance&lock_days=0': /^lock_days is a number from 1 to 36500$/,
    's3://rows?lock=governance&lock_days=1.5': /^lock_days is a number from 1 to 36500$/,
  };
  for (const [text, problem] of Object.entries(refused)) {
    it(`is not ${JSON.stringify(text)}`, () => {
      const parsed = parseBlobTarget(text);
      expect(parsed).toEqual({ ok: false, problem: expect.stringMatching(problem) });
      expect(JSON.stringify(parsed)).not.toContain('hunter2');
    });
  }

  it('is opened by its URL, which is refused in one sentence', () => {
    expect(() => openBlobStore('s3://rows?sse=yes')).toThrow(
      'the place for snapshots: sse is AES256 or aws:kms',
    );
  });
});
