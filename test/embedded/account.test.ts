import { describe, expect, test } from 'vitest';
import { lentAccount } from '../../src/embedded/account.ts';

const PASSWD = [
  'root:x:0:0:root:/root:/bin/bash',
  'nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin',
  'postgres:x:101:104::/var/lib/postgresql:/bin/bash',
  'ann:x:1000:1000::/home/ann:/bin/bash',
  '',
].join('\n');

describe('the account that root lends PostgreSQL', () => {
  test('is postgres where there is one', () => {
    expect(lentAccount(PASSWD, null)).toEqual({ kind: 'lent', name: 'postgres', uid: 101, gid: 104 });
  });

  test('is nobody where there is no postgres', () => {
    const without = PASSWD.replace(/^postgres.*\n/m, '');
    expect(lentAccount(without, null)).toEqual({ kind: 'lent', name: 'nobody', uid: 65534, gid: 65533 });
  });

  test('is the owner of a cluster that is already there', () => {
    expect(lentAccount(PASSWD, 1000)).toMatchObject({ name: 'ann', uid: 1000 });
  });

  test('is never root, even where root owns the directory', () => {
    expect(lentAccount(PASSWD, 0)).toMatchObject({ name: 'postgres' });
  });

  test('is missed with one clear error', () => {
    expect(() => lentAccount('root:x:0:0:root:/root:/bin/bash\n', null)).toThrow(
      /no account named postgres or nobody/,
    );
  });
});
