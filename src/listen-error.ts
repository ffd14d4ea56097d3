import { HoldfastError } from './base/errors.ts';

/** One sentence for what keeps a port from being listened on, with the setting that chooses another. */
export function listenError(whom: string, setting: string, where: string, cause: unknown): HoldfastError {
  const what = `cannot listen for ${whom} on ${where}: ${reasonOf(cause)}`;
  return new HoldfastError('CONFIG_INVALID', `${what}; set "${setting}" to another address`, { cause });
}

function reasonOf(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return 'another program listens there';
    case 'EACCES':
      return 'this user may not';
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return 'this machine has no such address';
    default:
      return cause instanceof Error ? cause.message : String(cause);
  }
}
