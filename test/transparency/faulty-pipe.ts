/**
 * A middle that knows the protocol and gets one thing wrong, chosen by `--fault`. The fuzzer must find each:
 * a fuzzer that finds nothing in a good gateway has shown nothing until it found something in a bad one.
 */
import { connect, createServer } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '6433' },
    to: { type: 'string', default: '5432' },
    fault: { type: 'string', default: 'none' },
  },
});

interface Message {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Cuts a stream into messages; the first of a client has no type. */
class Cutter {
  #rest: Buffer = Buffer.alloc(0);
  #untyped: boolean;

  constructor(untyped: boolean) {
    this.#untyped = untyped;
  }

  cut(chunk: Buffer): Message[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const out: Message[] = [];
    while (true) {
      const header = this.#untyped ? 4 : 5;
      if (this.#rest.length < header) return out;
      const length = this.#rest.readUInt32BE(header - 4) + header - 4;
      if (this.#rest.length < length) return out;
      const type = this.#untyped ? 'startup' : String.fromCharCode(this.#rest[0]!);
      out.push({ type, bytes: this.#rest.subarray(0, length) });
      this.#rest = this.#rest.subarray(length);
      this.#untyped = false;
    }
  }

  /** What is no whole message, for the end of the stream. */
  get rest(): Buffer {
    return this.#rest;
  }
}

interface Fault {
  readonly fromClient?: (message: Message, state: State) => Buffer | null;
  readonly fromServer?: (message: Message, state: State) => Buffer | null;
  readonly breaksHalfClose?: boolean;
}

interface State {
  failed: boolean;
  copying: boolean;
}

const READY_IDLE = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

const FAULTS: Record<string, Fault> = {
  none: {},
  'flush is swallowed': { fromClient: (m) => (m.type === 'H' ? null : m.bytes) },
  'status is always idle': { fromServer: (m) => (m.type === 'Z' ? READY_IDLE : m.bytes) },
  'parameter status is swallowed': { fromServer: (m, s) => (m.type === 'S' && s.failed ? null : m.bytes) },
  'notices are swallowed': { fromServer: (m) => (m.type === 'N' ? null : m.bytes) },
  'execute forgets its row limit': {
    fromClient: (m) => {
      if (m.type !== 'E') return m.bytes;
      const out = Buffer.from(m.bytes);
      out.writeUInt32BE(0, out.length - 4);
      return out;
    },
  },
  'close of a portal closes nothing': {
    fromClient: (m) => {
      if (m.type !== 'C' || m.bytes[5] !== 0x50) return m.bytes;
      return Buffer.concat([Buffer.from([0x43, 0, 0, 0, 11, 0x50]), Buffer.from('other\0')]);
    },
  },
  'sync in copy is answered': {
    fromServer: (m, s) => {
      if (m.type === 'G') s.copying = true;
      return m.bytes;
    },
    fromClient: (m, s) => {
      if (m.type === 'S' && s.copying) {
        s.copying = false;
        return Buffer.concat([Buffer.from([0x66, 0, 0, 0, 5, 0]), m.bytes]);
      }
      return m.bytes;
    },
  },
  'an error loses its hint': {
    fromServer: (m) => {
      if (m.type !== 'N' && m.type !== 'E') return m.bytes;
      const at = m.bytes.indexOf('\0H');
      if (at < 0) return m.bytes;
      const out = Buffer.concat([
        m.bytes.subarray(0, at + 1),
        m.bytes.subarray(m.bytes.indexOf(0, at + 2) + 1),
      ]);
      out.writeUInt32BE(out.length - 1, 1);
      return out;
    },
  },
  'half-close ends both ways': { breaksHalfClose: true },
  'terminate overtakes replies': { fromClient: (m) => m.bytes, breaksHalfClose: false },
};

const name = values.fault;
const fault = FAULTS[name];
if (fault === undefined) throw new Error(`no fault '${name}'; there are: ${Object.keys(FAULTS).join(', ')}`);

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const upstream = connect({
    port: Number(values.to),
    host: '127.0.0.1',
    allowHalfOpen: true,
    noDelay: true,
  });
  const state: State = { failed: false, copying: false };
  const requests = new Cutter(true);
  const replies = new Cutter(false);
  client.on('data', (chunk) => {
    for (const message of requests.cut(chunk)) {
      const bytes = fault.fromClient === undefined ? message.bytes : fault.fromClient(message, state);
      if (bytes !== null) upstream.write(bytes);
      if (message.type === 'X' && name === 'terminate overtakes replies') client.destroy();
    }
  });
  upstream.on('data', (chunk) => {
    for (const message of replies.cut(chunk)) {
      if (message.type === 'Z') state.failed = true;
      const bytes = fault.fromServer === undefined ? message.bytes : fault.fromServer(message, state);
      if (bytes !== null) client.write(bytes);
    }
  });
  client.on('end', () => {
    if (fault.breaksHalfClose === true) client.destroy();
    upstream.end(requests.rest);
  });
  upstream.on('end', () => client.end(replies.rest));
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
  client.on('close', () => upstream.destroy());
  upstream.on('close', () => client.destroy());
});

server.listen(Number(values.listen), '127.0.0.1', () => console.log('listening'));
