import * as fe from '../support/frontend-messages.ts';
import type { Random } from '../support/random.ts';
import { DeadlineError, RawClient } from '../support/raw-client.ts';

/** What must become of a connection once the bytes are sent. */
type Expected =
  /** The gateway answers with at most one FATAL and closes by itself. */
  | 'closes'
  /** The gateway may wait for more: the client goes away, and that is the end of it. */
  | 'anything';

export interface Hostility {
  readonly name: string;
  /** Whether a session is opened first, so that the bytes meet the message loop and not the startup. */
  readonly inSession: boolean;
  readonly expected: Expected;
  readonly bytes: (random: Random) => Buffer;
}

const FRONTEND_TYPES = [...'QPBEDCHSFdcfpX'];
const DEADLINE_MS = 10_000;

const startup = (parameters: Record<string, string> = {}): Buffer =>
  fe.startup({ user: 'postgres', database: 'postgres', ...parameters });

function before(name: string, expected: Expected, bytes: (random: Random) => Buffer): Hostility {
  return { name, inSession: false, expected, bytes };
}

function inside(name: string, expected: Expected, bytes: (random: Random) => Buffer): Hostility {
  return { name, inSession: true, expected, bytes };
}

/** What a client can do wrong before it has a session. */
export const STARTUP_HOSTILITIES: readonly Hostility[] = [
  before('random bytes', 'anything', (random) => random.bytes(random.between(1, 400))),
  before('random bytes with a large first one', 'closes', (random) =>
    Buffer.concat([Buffer.of(0x80 | random.between(0, 127)), random.bytes(100)]),
  ),
  before('an HTTP request', 'closes', () => Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')),
  ...[0, 1, 3, 4, 7].map((length) =>
    before(`a startup length of ${length}`, 'closes', () =>
      Buffer.concat([fe.int32(length), Buffer.alloc(16)]),
    ),
  ),
  ...[10_005, 0x7fffffff, 0x80000000, 0xffffffff].map((length) =>
    before(`a startup length of ${length}`, 'closes', () =>
      Buffer.concat([fe.int32(length), fe.int32(fe.PROTOCOL_3_0), Buffer.alloc(64)]),
    ),
  ),
  ...[0, 0x00010000, 0x00020000, 0x00040000, 0x12345678].map((version) =>
    before(`protocol version ${version.toString(16)}`, 'closes', () =>
      fe.startup({ user: 'postgres' }, version),
    ),
  ),
  before('a startup without its end', 'closes', () =>
    fe.startupPacket(Buffer.concat([fe.int32(fe.PROTOCOL_3_0), Buffer.from('user\0postgres\0')])),
  ),
  before('a startup whose value has no end', 'closes', () =>
    fe.startupPacket(Buffer.concat([fe.int32(fe.PROTOCOL_3_0), Buffer.from('user\0postgres')])),
  ),
  before('a startup with bytes after its end', 'closes', () =>
    fe.startupPacket(Buffer.concat([fe.int32(fe.PROTOCOL_3_0), Buffer.from('user\0postgres\0\0more')])),
  ),
  before('a startup with no user', 'closes', () => fe.startup({ database: 'postgres' })),
  before('a startup of nothing', 'closes', () => fe.startupPacket(fe.int32(fe.PROTOCOL_3_0))),
  before('a startup of an unknown database', 'closes', () => startup({ database: 'no_such_database' })),
  before('a startup of an unknown parameter', 'closes', () => startup({ no_such_parameter: '1' })),
  before('a replication connection', 'closes', () => startup({ replication: 'true' })),
  before('a replication connection to a database', 'closes', () => startup({ replication: 'database' })),
  before('SSLRequest twice', 'closes', () => Buffer.concat([fe.sslRequest(), fe.sslRequest()])),
  before('GSSENCRequest twice', 'closes', () =>
    Buffer.concat([fe.gssEncryptionRequest(), fe.gssEncryptionRequest()]),
  ),
  before('SSLRequest with a startup in the same packet', 'anything', () =>
    Buffer.concat([fe.sslRequest(), startup()]),
  ),
  before('SSLRequest with too few bytes', 'anything', () => fe.sslRequest().subarray(0, 6)),
  before('SSLRequest with too many bytes', 'closes', () =>
    fe.startupPacket(Buffer.concat([fe.int32(80877103), Buffer.from('stuffed')])),
  ),
  before('a CancelRequest of nobody', 'closes', () => fe.cancelRequest(1, fe.int32(1))),
  before('a CancelRequest without a key', 'closes', () => fe.startupPacket(fe.int32(80877102))),
  before('a CancelRequest with a key that is too long', 'closes', () =>
    fe.cancelRequest(1, Buffer.alloc(300)),
  ),
  before('a TLS handshake where there is no TLS', 'closes', () =>
    Buffer.concat([Buffer.from([0x16, 3, 1, 0, 100]), Buffer.alloc(100)]),
  ),
  before('a second startup right behind the first', 'anything', () => Buffer.concat([startup(), startup()])),
  before('a startup cut in half', 'anything', () => startup().subarray(0, 20)),
  before('nothing at all', 'anything', () => Buffer.alloc(0)),
];

/** What a client can do wrong inside a session. */
export const SESSION_HOSTILITIES: readonly Hostility[] = [
  ...FRONTEND_TYPES.flatMap((type) => [
    ...[0, 1, 3, 0x80000000, 0xffffffff, 0x40000000, 0x7fffffff].map((length) =>
      inside(`${type} with a length of ${length}`, 'closes', () =>
        fe.messageClaiming(type, length, Buffer.alloc(8)),
      ),
    ),
    inside(`${type} cut short`, 'anything', (random) =>
      fe.messageClaiming(type, 200, random.bytes(random.between(0, 190))),
    ),
    inside(`${type} with a random body`, 'anything', (random) =>
      fe.message(type, random.bytes(random.between(0, 60))),
    ),
  ]),
  ...[...'EDCHScfX'].map((type) =>
    inside(`${type} above the limit of small messages`, 'closes', () =>
      fe.messageClaiming(type, 20_000, Buffer.alloc(64)),
    ),
  ),
  inside('messages of unknown types', 'closes', (random) =>
    fe.message(random.pick(['!', 'z', 'R', 'T', 'Z', 'K', '\u0000', '\u00ff']), random.bytes(5)),
  ),
  inside('random bytes', 'anything', (random) => random.bytes(random.between(1, 2_000))),
  inside('a startup inside a session', 'anything', () => startup()),
  inside('an SSLRequest inside a session', 'anything', () => fe.sslRequest()),
  inside('a password that nobody asked for', 'closes', () => fe.password('guess')),
];

/** A session that touches every state; the soak cuts it wherever it likes. */
export const WHOLE_SESSION: readonly Buffer[] = [
  startup(),
  fe.query('create temp table soak (a text)'),
  fe.query("select 1; select 'two'; select 1/0"),
  fe.parse('s', 'select generate_series(1, $1)', [23]),
  fe.describe('S', 's'),
  fe.bind({ statement: 's', portal: 'p', parameters: ['50'] }),
  fe.execute('p', 10),
  fe.flush(),
  fe.execute('p', 0),
  fe.sync(),
  fe.query('copy soak from stdin'),
  fe.copyData('a\nb\n'),
  fe.copyData('c\n'),
  fe.copyDone(),
  fe.parse('', 'copy soak from stdin'),
  fe.bind(),
  fe.execute(),
  fe.copyData('d\n'),
  fe.copyFail('enough'),
  fe.sync(),
  fe.query('begin'),
  fe.query("insert into soak values ('e')"),
  fe.query("select repeat('x', 300000) from generate_series(1, 20)"),
  fe.query('copy (select generate_series(1, 20000)) to stdout'),
  fe.query('select pg_sleep(0.05)'),
  fe.functionCall(177, ['1', '2']),
  fe.query('commit'),
  fe.terminate(),
];

/** A client that goes away inside its session, at or within the given message. */
export function vanishAt(message: number, within: boolean): (random: Random) => Buffer {
  return (random) => {
    const whole = WHOLE_SESSION.slice(0, message);
    const next = WHOLE_SESSION[message];
    if (within && next !== undefined) whole.push(next.subarray(0, random.between(1, next.length - 1)));
    return Buffer.concat(whole);
  };
}

/** Does one hostile thing and says what was wrong with the answer, or null. */
export async function beHostile(port: number, hostility: Hostility, random: Random): Promise<string | null> {
  const client = hostility.inSession ? await RawClient.open(port) : await RawClient.connect(port);
  try {
    client.write(hostility.bytes(random));
    if (hostility.expected === 'closes') {
      try {
        await client.untilClosed(DEADLINE_MS);
      } catch (error) {
        if (error instanceof DeadlineError) return 'neither answered nor closed';
        throw error;
      }
      const fatal = client.inbox.filter((m) => m.type === 'E' && m.body.includes('FATAL'));
      return fatal.length > 1 ? `answered with ${fatal.length} FATAL errors` : null;
    }
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 4)));
    return null;
  } finally {
    if (random.chance(0.5)) client.reset();
    else client.destroy();
  }
}

/** A client that vanishes at any message, at its boundary or within, with FIN or RST. */
export async function vanish(port: number, random: Random): Promise<void> {
  const client = await RawClient.connect(port);
  const bytes = vanishAt(random.between(0, WHOLE_SESSION.length), random.chance(0.5))(random);
  // A reader that reads nothing fills every buffer on the way.
  if (random.chance(0.2)) client.stream.pause();
  client.write(bytes);
  await new Promise((resolve) => setTimeout(resolve, random.between(0, 12)));
  const how = random.pick(['fin', 'rst', 'half-close'] as const);
  if (how === 'half-close') {
    client.halfClose();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (how === 'rst') client.reset();
  else client.destroy();
}
