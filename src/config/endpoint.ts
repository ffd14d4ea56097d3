import { isIPv6 } from 'node:net';
import { type Parsed, wrong } from '../policy/judged.ts';

/** Where to listen. Port 0 takes any that is free. */
export interface Endpoint {
  /** A name or an address, IPv6 without its brackets. */
  readonly host: string;
  readonly port: number;
}

const FORM = /^(?:\[([^\]]+)\]|([^:[\]\s/]+)):(\d{1,5})$/;

export function parseEndpoint(text: string): Parsed<Endpoint> {
  const match = FORM.exec(text);
  const bracketed = match?.[1];
  const host = bracketed ?? match?.[2];
  if (match === null || host === undefined || (bracketed !== undefined && !isIPv6(bracketed))) {
    return wrong('expected host:port, like 127.0.0.1:6432, localhost:6432 or [::1]:6432');
  }
  const port = Number(match[3]);
  if (port > 65_535) return wrong(`a port is at most 65535, found ${port}`);
  return { ok: true, value: { host, port } };
}

export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export function isLoopback({ host }: Endpoint): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** Whether two endpoints cannot both be had, as far as their text tells. */
export function collide(a: Endpoint, b: Endpoint): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  const wildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';
  const same = (host: string): string => (host === 'localhost' ? '127.0.0.1' : host);
  return wildcard(a.host) || wildcard(b.host) || same(a.host) === same(b.host);
}
