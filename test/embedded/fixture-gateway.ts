/** Starts an embedded server as a gateway would, says so, and waits to be killed. */
import { startEmbedded } from '../../src/embedded/embedded.ts';

const server = await startEmbedded({ dataDir: process.argv[2]!, durable: false });
console.log(JSON.stringify({ port: server.port }));
setInterval(() => {}, 60_000);
