import type { PeerCertificate } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { identityProblem } from '../../../src/session/connection/certificate-names.ts';

const problem = (host: string, subjectaltname: string | undefined, CN?: string) =>
  identityProblem(host, { subject: { CN }, subjectaltname } as unknown as PeerCertificate);

describe('whose a certificate is', () => {
  it.each([
    ['db.example', 'DNS:db.example'],
    ['db.shop.example', 'DNS:*.shop.example, DNS:shop.example'],
    ['192.0.2.7', 'DNS:db.example, IP Address:192.0.2.7'],
  ])('%s is found in %s', (host, names) => {
    expect(problem(host, names)).toBeNull();
  });

  it('is told where it is somebody else’s', () => {
    expect(problem('192.0.2.7', 'DNS:db.example', 'db')).toBe(
      'its certificate is for db.example, not for 192.0.2.7',
    );
    expect(problem('db', 'DNS:db.example, IP Address:192.0.2.7, URI:https://db')).toBe(
      'its certificate is for db.example, 192.0.2.7, not for db',
    );
    expect(problem('192.0.2.7', undefined, 'db.example')).toBe(
      'its certificate is for db.example, not for 192.0.2.7',
    );
    expect(problem('192.0.2.7', undefined)).toBe('its certificate names no host, and so not 192.0.2.7');
    expect(problem('192.0.2.7', 'email:postgres@db.example')).toBe(
      'its certificate names no host, and so not 192.0.2.7',
    );
  });

  it('is told in few words, however many names there are', () => {
    const names = Array.from({ length: 40 }, (_, i) => `DNS:${String(i).padStart(200, 'x')}.example`);
    const told = problem('db', names.join(', '))!;
    expect(told).toMatch(/ and 35 more, not for db$/);
    expect(told.length).toBeLessThan(700);
  });
});
