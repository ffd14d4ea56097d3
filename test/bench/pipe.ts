/**
 * The yardstick: the least that a Node process between client and server can do. It knows nothing of the
 * protocol and joins two sockets. `node test/bench/pipe.ts --listen PORT --to PORT`
 */
import { connect, createServer } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { listen: { type: 'string', default: '6433' }, to: { type: 'string', default: '5432' } },
});

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const upstream = connect({ port: Number(values.to), host: '127.0.0.1', allowHalfOpen: true });
  upstream.setNoDelay(true);
  client.pipe(upstream);
  upstream.pipe(client);
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
  client.on('close', () => upstream.destroy());
  upstream.on('close', () => client.destroy());
});

server.listen(Number(values.listen), '127.0.0.1', () => console.log('listening'));
