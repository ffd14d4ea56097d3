import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

/** An OpenID Connect issuer that lets everybody in, by a code with PKCE and by nothing else. */
export async function startIssuer() {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
  const challenges = new Map<string, string>();
  let url = '';

  const token = (audience: string) => {
    const nowS = Math.floor(Date.now() / 1000);
    const claims = { iss: url, aud: audience, sub: 'anna', iat: nowS, exp: nowS + 300, roles: ['dba'] };
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(privateKey);
  };
  const authorize = (asked: URLSearchParams, response: ServerResponse) => {
    const back = new URL(asked.get('redirect_uri') ?? '');
    const code = `code-${challenges.size}`;
    challenges.set(code, asked.get('code_challenge') ?? '');
    back.searchParams.set('code', code);
    back.searchParams.set('state', asked.get('state') ?? '');
    response.writeHead(302, { location: back.href }).end();
  };
  const exchange = async (request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const asked = new URLSearchParams(body);
    const code = asked.get('code') ?? '';
    const challenge = createHash('sha256')
      .update(asked.get('code_verifier') ?? '')
      .digest('base64url');
    const isRight = challenges.get(code) === challenge && challenges.delete(code);
    const given = isRight
      ? { access_token: await token('somebody else'), id_token: await token('console') }
      : { error: 'invalid_grant' };
    const cors = { 'access-control-allow-origin': request.headers.origin ?? '' };
    response.writeHead(isRight ? 200 : 400, { 'content-type': 'application/json', ...cors });
    response.end(JSON.stringify(given));
  };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', url);
    if (pathname === '/authorize') return authorize(searchParams, response);
    if (pathname === '/token') return void exchange(request, response);
    const metadata = {
      issuer: url,
      jwks_uri: `${url}/keys`,
      authorization_endpoint: `${url}/authorize`,
      token_endpoint: `${url}/token`,
    };
    const body = pathname === '/keys' ? { keys: [jwk] } : metadata;
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    async stop(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
