import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FastifyInstance, fastify } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdminApp } from '../../src/admin/app.ts';
import { problemHandler } from '../../src/admin/problems.ts';
import { consoleRoutes } from '../../src/admin/routes/console.ts';

let app: FastifyInstance;
let folder: string;

beforeAll(async () => {
  const above = mkdtempSync(join(tmpdir(), 'holdfast-console-'));
  folder = join(above, 'console');
  writeFileSync(join(above, 'secret.js'), 'secret');
  app = fastify();
  const log = { info() {}, warn() {}, error() {} };
  app.setErrorHandler(problemHandler(log));
  const oidc = () => null;
  consoleRoutes(app as unknown as AdminApp, { oidc }, folder);
  await app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await app.close();
  rmSync(join(folder, '..'), { recursive: true, force: true });
});

/** Sent as it is, where fetch would take the path apart first. */
function get(path: string, method = 'GET', headers: Record<string, string> = {}) {
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>(
    (resolve, reject) => {
      request({ host: '127.0.0.1', port, path, method, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      })
        .on('error', reject)
        .end();
    },
  );
}

describe('the console', () => {
  it('says how to build it where that was not done, and is there once it was', async () => {
    const missing = await get('/');
    expect([missing.status, missing.headers['content-type']]).toEqual([503, 'text/html; charset=utf-8']);
    expect(missing.text).toContain('npm run build');
    mkdirSync(join(folder, 'assets'), { recursive: true });
    writeFileSync(join(folder, 'index.html'), '<!doctype html><title>built</title>');
    writeFileSync(join(folder, 'favicon.svg'), '<svg/>');
    writeFileSync(join(folder, 'assets/index-abc.js'), 'let built;');
    writeFileSync(join(folder, 'assets/index-abc.css'), 'body {}');
    writeFileSync(join(folder, 'assets/notes.txt'), 'notes');
    expect(await get('/')).toMatchObject({ status: 200, text: '<!doctype html><title>built</title>' });
  });

  it('is kept by browsers where its name changes with it, and asked for again where not', async () => {
    const page = await get('/');
    expect(page.headers).toMatchObject({
      'cache-control': 'no-cache',
      'content-type': 'text/html; charset=utf-8',
    });
    const etag = String(page.headers['etag']);
    expect(await get('/', 'GET', { 'if-none-match': etag })).toMatchObject({ status: 304, text: '' });
    const script = await get('/assets/index-abc.js');
    expect(script).toMatchObject({ status: 200, text: 'let built;' });
    expect(script.headers).toMatchObject({
      'cache-control': 'public, max-age=31536000, immutable',
      'content-type': 'text/javascript; charset=utf-8',
    });
    expect((await get('/assets/index-abc.css')).headers['content-type']).toBe('text/css; charset=utf-8');
    expect((await get('/favicon.svg')).headers['content-type']).toBe('image/svg+xml');
  });

  it('may load and ask nothing but this server, and cannot be framed', async () => {
    const policy = String((await get('/')).headers['content-security-policy']);
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "img-src 'self' data:",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'none'",
    ]) {
      expect(policy.split('; ')).toContain(part);
    }
  });

  it.each([
    '/assets/../../secret.js',
    '/assets/..%2f..%2fsecret.js',
    '/assets/%2e%2e/%2e%2e/secret.js',
    '/assets/..%5c..%5csecret.js',
    '/assets//etc/passwd',
    '/assets/notes.txt',
    '/assets/',
    '/assets/index-abc.js%00.css',
    '/index.html',
  ])('gives nothing for %s', async (path) => {
    const { status, text } = await get(path);
    expect([status, text.includes('secret'), text.includes('notes')]).toEqual([404, false, false]);
  });

  it('is only read', async () => {
    expect(await get('/', 'HEAD')).toMatchObject({ status: 200, text: '' });
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
      expect((await get('/', method)).status).toBe(404);
  });
});
