/**
 * Builds the web console, for `npm ci` (as `prepare`) and `npm run build`. Where the tools to do so are left out, as
 * with `npm ci --omit=dev`, it does nothing: the gateway runs without, and its page says how to build it. Plain
 * JavaScript, because such an installation may have no Node that runs TypeScript.
 */
const asked = process.argv.includes('--required');
const vite = await import('vite').catch((error) => {
  if (asked || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  return null;
});
if (vite === null) console.log('The web console is not built: vite is not installed.');
else await vite.build({ logLevel: 'warn' });
