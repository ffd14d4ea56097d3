/**
 * A wire of some length: joins two sockets, and hands on whatever comes a fixed time after it has come, in each direction.
 * Timers of a whole millisecond are too coarse, so that it spins as long as anything is on its way.
 * `node test/bench/delay.ts --listen PORT --to PORT --ms 0.25`
 */
import { connect, createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '6434' },
    to: { type: 'string', default: '5432' },
    ms: { type: 'string', default: '0.25' },
  },
});
const delayMs = Number(values.ms);

interface OnItsWay {
  readonly to: Socket;
  readonly bytes: Buffer;
  readonly dueMs: number;
}

/** In the order of when it is due, since all is delayed by the same. */
let onItsWay: OnItsWay[] = [];
let spinning = false;

function deliver(): void {
  const now = performance.now();
  const due = onItsWay.filter(({ dueMs }) => dueMs <= now);
  if (due.length > 0) onItsWay = onItsWay.slice(due.length);
  for (const { to, bytes } of due) to.write(bytes);
  spinning = onItsWay.length > 0;
  if (spinning) setImmediate(deliver);
}

function join(from: Socket, to: Socket): void {
  from.setNoDelay(true);
  from.on('data', (bytes: Buffer) => {
    onItsWay.push({ to, bytes, dueMs: performance.now() + delayMs });
    if (spinning) return;
    spinning = true;
    setImmediate(deliver);
  });
  from.on('error', () => to.destroy());
  from.on('close', () => to.destroy());
}

const server = createServer((client) => {
  const upstream = connect({ port: Number(values.to), host: '127.0.0.1' });
  join(client, upstream);
  join(upstream, client);
});

server.listen(Number(values.listen), '127.0.0.1', () => console.log('listening'));
