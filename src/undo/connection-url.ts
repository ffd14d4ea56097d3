/** How a URL of libpq's form is given to node-postgres, which reads some of it otherwise. */

/** What node-postgres says where the server has no TLS. */
export const NO_TLS = /does not support SSL/;

/** The URL with a database, if it names none. */
export function withDatabase(url: string, database: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || (parsed.pathname !== '' && parsed.pathname !== '/')) return url;
  parsed.pathname = `/${encodeURIComponent(database)}`;
  return parsed.href;
}

/**
 * What to try, one after the other: `sslmode` as libpq understands it, whose default is to have TLS where the server
 * does, without asking who it is.
 */
export function connectionAttempts(url: string): readonly [string, ...string[]] {
  const parsed = URL.parse(url);
  if (parsed === null || parsed.searchParams.has('ssl') || isSocket(parsed)) return [url];
  const mode = parsed.searchParams.get('sslmode') ?? 'prefer';
  const as = (sslmode: string): string => {
    const other = new URL(parsed);
    other.searchParams.set('sslmode', sslmode);
    if (sslmode !== 'disable') other.searchParams.set('uselibpqcompat', 'true');
    return other.href;
  };
  switch (mode) {
    case 'disable':
      return [as('disable')];
    case 'allow':
    case 'prefer':
      return [as('prefer'), as('disable')];
    default:
      return [as(mode)];
  }
}

function isSocket({ hostname, searchParams }: URL): boolean {
  const host = searchParams.get('host') ?? decodeURIComponent(hostname);
  return host.startsWith('/');
}
