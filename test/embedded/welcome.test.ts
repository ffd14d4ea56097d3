import { describe, expect, test } from 'vitest';
import { parseBlobTarget } from '../../src/blobs/blob-target.ts';
import { type WelcomeFacts, welcome } from '../../src/embedded/welcome.ts';

const FIRST_START: WelcomeFacts = {
  listen: '127.0.0.1:6432',
  adminListen: '127.0.0.1:8432',
  token: 'hf_made_now',
  embedded: { version: '18.4', dataDir: 'data/postgres', created: true },
  upstream: '127.0.0.1:40000',
  snapshots: {
    place: { kind: 'file', directory: 'data/snapshots' },
    retention: { ageMs: null, bytes: null },
  },
};

describe('welcome', () => {
  test('gives a connection string that can be pasted, through the gateway and not past it', () => {
    const text = welcome(FIRST_START);
    expect(text).toContain('\n  psql "postgres://demo:demo@127.0.0.1:6432/shop"\n');
    expect(text).not.toContain('40000');
  });

  test('shows the token when it was made, and never else', () => {
    expect(welcome(FIRST_START)).toContain('HOLDFAST_TOKEN=hf_made_now');
    expect(welcome({ ...FIRST_START, token: null })).not.toContain('HOLDFAST_TOKEN=hf');
  });

  test('offers four things to try and says how to stop', () => {
    const text = welcome(FIRST_START);
    for (const start of ['1. ', '2. ', '3. ', '4. ', 'Press Ctrl-C']) expect(text).toContain(`\n${start}`);
  });

  test('says where to look when it is not the usual place', () => {
    expect(welcome(FIRST_START)).not.toMatch(/HOLDFAST_ADMIN_URL|--url/);
    const text = welcome({ ...FIRST_START, listen: '127.0.0.1:7000', adminListen: '127.0.0.1:9000' });
    expect(text).toContain('\n  export HOLDFAST_ADMIN_URL=http://127.0.0.1:9000\n');
    expect(text).toContain('npm run -s sql -- --url postgres://demo:demo@127.0.0.1:7000/shop "SQL"');
    expect(text).toContain('\n  HOLDFAST_LISTEN=127.0.0.1:7000 npm run -s holdfast -- demo\n');
  });

  test('says that nothing can be undone where no snapshots are taken', () => {
    expect(welcome(FIRST_START)).not.toContain('snapshots');
    const text = welcome({ ...FIRST_START, snapshots: null });
    expect(text).toContain('cannot be undone.\nHOLDFAST_SNAPSHOTS_TAKEN=on');
  });

  test('says in front of a server of the user where before-images go, and how long they stay', () => {
    const own = { ...FIRST_START, embedded: null };
    expect(welcome(own)).toContain(
      'Before-images of what statements change go to data/snapshots, and stay there until they are removed',
    );
    const retention = { ageMs: 30 * 86_400_000, bytes: 2 ** 30 };
    const place = parseBlobTarget('s3://bucket/holdfast');
    if (!place.ok) throw new Error('the target is one');
    expect(welcome({ ...own, snapshots: { place: place.value, retention } })).toContain(
      'go to s3://bucket/holdfast, and are kept for 30 days, and while all are smaller than 1024 MiB.',
    );
  });

  test('says nothing of the sample in front of a server of the user', () => {
    const text = welcome({ ...FIRST_START, embedded: null, upstream: 'db.internal:5432' });
    expect(text).toContain('in front of PostgreSQL at db.internal:5432');
    expect(text).not.toMatch(/demo|sample|order_lines/);
  });
});
