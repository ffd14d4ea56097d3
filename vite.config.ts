import { defineConfig } from 'vite';

/**
 * The console: `src/console` becomes `dist/console`, which the admin API serves. `npx vite` serves the sources instead,
 * for developing, and passes what belongs to the API on to a gateway.
 */
const GATEWAY = process.env['HOLDFAST_ADMIN_URL'] ?? 'http://127.0.0.1:8432';

export default defineConfig({
  root: 'src/console',
  // Relative, so that a proxy may serve the gateway below any path.
  base: './',
  build: {
    outDir: '../../dist/console',
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: { proxy: Object.fromEntries(['/v1', '/metrics'].map((path) => [path, GATEWAY])) },
});
