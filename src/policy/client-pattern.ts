import ipaddr from 'ipaddr.js';
import type { Certainty } from './certainty.ts';
import { type Parsed, wrong } from './judged.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Where a client may come from: a network, one address, or `local` for a Unix socket. */
export type ClientPattern =
  | { readonly kind: 'local' }
  | { readonly kind: 'network'; readonly network: Address; readonly bits: number };

/** A client's address, read once for each session. */
export type ClientAddress =
  | { readonly kind: 'local' }
  | { readonly kind: 'address'; readonly address: Address }
  | { readonly kind: 'unknown' };

export function parseClientPattern(text: string): Parsed<ClientPattern> {
  if (text === 'local') return { ok: true, value: { kind: 'local' } };
  const [base = '', length, ...rest] = text.split('/');
  const network = parseAddress(base);
  if (network === null || rest.length > 0) {
    return wrong(`"${text}" is neither an address, a network like 10.0.0.0/8 or fd00::/8, nor local`);
  }
  const width = network.kind() === 'ipv4' ? 32 : 128;
  const bits = length === undefined ? width : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (bits < 0 || bits > width) return wrong(`"${text}": the prefix length is a number from 0 to ${width}`);
  if (network instanceof ipaddr.IPv6 && network.isIPv4MappedAddress()) {
    return wrong(`"${text}": write an IPv4 network as IPv4; its clients are seen as such`);
  }
  const first = firstAddress(network, bits);
  if (first.toString() !== network.toString()) {
    return wrong(`"${text}" has bits set to the right of the prefix; the network is ${first}/${bits}`);
  }
  return { ok: true, value: { kind: 'network', network, bits } };
}

export function parseClientAddress(text: string): ClientAddress {
  if (text === 'local') return { kind: 'local' };
  const address = parseAddress(text);
  if (address === null) return { kind: 'unknown' };
  const plain =
    address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
  return { kind: 'address', address: plain };
}

export function matchClient(pattern: ClientPattern, client: ClientAddress): Certainty {
  if (client.kind === 'unknown') return 'possible';
  if (pattern.kind === 'local' || client.kind === 'local')
    return pattern.kind === client.kind ? 'sure' : 'no';
  if (client.address.kind() !== pattern.network.kind()) return 'no';
  const inside =
    firstAddress(client.address, pattern.bits).toNormalizedString() === pattern.network.toNormalizedString();
  return inside ? 'sure' : 'no';
}

/** Stricter than the library, which reads `10.1`, `0x0a000001` and octal numbers as addresses too. */
function parseAddress(text: string): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  const plain = text.replace(/%.*$/, '');
  return plain.includes(':') && ipaddr.IPv6.isValid(plain) ? ipaddr.IPv6.parse(plain) : null;
}

function firstAddress(address: Address, bits: number): Address {
  const bytes = address.toByteArray();
  for (let i = 0; i < bytes.length; i++) {
    const kept = Math.min(8, Math.max(0, bits - i * 8));
    bytes[i] = bytes[i]! & (0xff << (8 - kept)) & 0xff;
  }
  return ipaddr.fromByteArray(bytes);
}
