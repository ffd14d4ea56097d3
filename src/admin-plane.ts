import { createServer } from 'node:http';
import type { Config } from './config/config.ts';
import { formatEndpoint } from './config/endpoint.ts';
export interface AdminPlane { readonly listen: string; readonly firstToken: string | null; reload(): Promise<void>; close(): Promise<void> }
export async function startAdmin(deps: { config: Config; readiness: () => Promise<string[]>; [key: string]: unknown }): Promise<AdminPlane> {
  const server = createServer((req, res) => { void deps.readiness().then((p) => { res.statusCode = req.url === '/healthz' || p.length === 0 ? 200 : 503; res.end(JSON.stringify(p)); }); });
  const { host, port } = deps.config.admin.listen;
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return { listen: formatEndpoint({ host, port }), firstToken: null, reload: async () => {}, close: async () => { server.closeAllConnections(); server.close(); } };
}
