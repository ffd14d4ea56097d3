import { readFileSync, statSync } from 'node:fs';
import { HoldfastError } from '../base/errors.ts';

/**
 * Which account of the machine PostgreSQL runs as. It refuses to run as root, so root lends it another one that
 * is already there: nothing is added to the machine.
 */
export type Account =
  | { readonly kind: 'own' }
  | { readonly kind: 'lent'; readonly name: string; readonly uid: number; readonly gid: number };

/** In order of preference; practically every system has the last. */
const LENT = ['postgres', 'nobody'] as const;

export function accountFor(dataDir: string): Account {
  if (process.getuid?.() !== 0) return { kind: 'own' };
  return lentAccount(readFileSync('/etc/passwd', 'utf8'), ownerOf(dataDir));
}

/** A cluster that exists stays with the account that owns it. */
export function lentAccount(passwd: string, ownerUid: number | null): Account {
  const accounts = passwd.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    return name && Number(uid) > 0 ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
  });
  const owner = accounts.find(({ uid }) => uid === ownerUid);
  const lent = owner ?? LENT.flatMap((name) => accounts.find((account) => account.name === name) ?? [])[0];
  if (lent !== undefined) return { kind: 'lent', ...lent };
  throw new HoldfastError(
    'EMBEDDED_FAILED',
    `PostgreSQL does not run as root, and this machine has no account named ${LENT.join(' or ')}`,
    { hint: 'Start Holdfast as an ordinary user, or set HOLDFAST_UPSTREAM to a server of your own.' },
  );
}

/** What Node's spawn takes to run a child as the account. */
export function credentials(account: Account): { uid?: number; gid?: number } {
  return account.kind === 'own' ? {} : { uid: account.uid, gid: account.gid };
}

function ownerOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.uid ?? null;
}
