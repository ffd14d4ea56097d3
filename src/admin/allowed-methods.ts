import type { RouteOptions } from 'fastify';

/** Which methods the paths take, for whoever asks for one by another. */
export class AllowedMethods {
  private readonly routes: { readonly path: RegExp; readonly methods: readonly string[] }[] = [];

  add({ url, method }: Pick<RouteOptions, 'url' | 'method'>): void {
    const parts = url
      .split('/')
      .map((part) => (part.startsWith(':') ? '[^/]+' : part === '*' ? '.*' : part.replaceAll('.', '\\.')));
    this.routes.push({ path: new RegExp(`^${parts.join('/')}$`), methods: [method].flat() });
  }

  /** As the header Allow has them; empty where there is nothing by that path. */
  of(path: string): string {
    const methods = this.routes.filter((route) => route.path.test(path)).flatMap((route) => route.methods);
    return [...new Set(methods)].sort().join(', ');
  }
}
