/**
 * `npm run bench:session -- [--transactions 500000] [--rounds 5] [simple] [extended] [prepared]`: what a session costs
 * of itself, without sockets and without a server: pgbench's SELECT and the server's answer to it, through both
 * streams, with the real analyzer, the default policy and the real audit but for its disk. Nanoseconds of CPU a
 * transaction; on a noisy machine the least of the rounds is the one to compare.
 */
import { parseArgs } from 'node:util';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { PolicyHolder } from '../../src/policy/holder.ts';
import { DEFAULT_POLICY } from '../../src/policy/load.ts';
import { BackendMessages } from '../../src/session/backend-messages.ts';
import { BackendStream } from '../../src/session/backend-stream.ts';
import { FrontendMessages } from '../../src/session/frontend-messages.ts';
import { FrontendStream } from '../../src/session/frontend-stream.ts';
import type { Link } from '../../src/session/link.ts';
import { type SessionServices, SessionState } from '../../src/session/state.ts';
import { AnalysisCache } from '../../src/sql/cache.ts';
import type { ControlStore } from '../../src/store/control-store.ts';
import * as fe from '../support/frontend-messages.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    transactions: { type: 'string', default: '500000' },
    rounds: { type: 'string', default: '5' },
  },
});
const SESSIONS = 16;
const KEYS = 900_000;
const SELECT = 'SELECT abalance FROM pgbench_accounts WHERE aid = ';

const bind = (statement: string): Buffer => fe.bind({ statement, parameters: ['123456'] });
const run = [fe.describe('P'), fe.execute(), fe.sync()];
const ANSWER = Buffer.concat([
  fe.message('T', fe.int16(1), fe.cstring('abalance'), Buffer.alloc(18)),
  fe.message('D', fe.int16(1), fe.int32(1), Buffer.from('0')),
  fe.message('C', fe.cstring('SELECT 1')),
  fe.message('Z', Buffer.from('I')),
]);
const PARSED = fe.message('1');
const BOUND = fe.message('2');

/** What the client sends and what the server answers. `keyAt` is where a literal stands that differs every time. */
const PROTOCOLS: Record<string, { readonly send: Buffer; readonly answer: Buffer; readonly keyAt: number }> =
  {
    simple: { send: fe.query(`${SELECT}123456;`), answer: ANSWER, keyAt: 5 + SELECT.length },
    extended: {
      send: Buffer.concat([fe.parse('', `${SELECT}$1`), bind(''), ...run]),
      answer: Buffer.concat([PARSED, BOUND, ANSWER]),
      keyAt: -1,
    },
    prepared: {
      send: Buffer.concat([bind('P0_0'), ...run]),
      answer: Buffer.concat([BOUND, ANSWER]),
      keyAt: -1,
    },
  };

const metrics = new Metrics();
const log = createLogger('warn');
const store = {
  auditHead: async () => ({ lastSeq: 0, open: [] }),
  appendAudit: async () => {},
} as unknown as ControlStore;
const analyzer = new AnalysisCache();
await analyzer.ready();
const services = {
  analyzer,
  policy: new PolicyHolder(DEFAULT_POLICY),
  audit: await StoredAuditLog.open({ store, metrics, log }),
  metrics,
  log,
  statementBytesMax: 1024 * 1024,
  restraints: { of: () => null, attempted() {} },
  catalog: null,
  snapshots: null,
  previews: null,
  recordsFirst: false,
} as unknown as SessionServices;

interface Streams {
  readonly frontend: FrontendStream;
  readonly backend: BackendStream;
}

/** A link that takes everything and gives nothing. */
function sink(): Link {
  const socket = { isPaused: () => false, destroyed: false };
  return {
    socket,
    writable: true,
    write: () => true,
    relay() {},
    pause() {},
    resume() {},
  } as unknown as Link;
}

function openSession(index: number): Streams {
  const facts = { role: 'postgres', database: 'postgres', application: 'pgbench', client: '127.0.0.1' };
  const parameters = new Map([
    ['client_encoding', 'UTF8'],
    ['standard_conforming_strings', 'on'],
    // As PostgreSQL 18 tells it; of others it is asked once a session.
    ['search_path', '"$user", public'],
  ]);
  const identity = { id: `s${index}`, ...facts };
  const startup = { searchPath: null, replication: false };
  const state = new SessionState(services, sink(), sink(), identity, facts, parameters, startup);
  const frontend = new FrontendStream(state, new FrontendMessages(state));
  const backend = new BackendStream(state, new BackendMessages(state));
  const prepare = Buffer.concat([fe.parse('P0_0', `${SELECT}$1`), fe.sync()]);
  frontend.receive(prepare, prepare.length);
  const prepared = Buffer.concat([PARSED, fe.message('Z', Buffer.from('I'))]);
  backend.receive(prepared, prepared.length);
  return { frontend, backend };
}

/** Writes another key of six digits each time, so that no text comes twice in a row. */
function changeKey(send: Buffer, at: number, turn: number): void {
  let key = 100_000 + ((turn * 7919) % KEYS);
  for (let digit = at + 5; digit >= at; digit--) {
    send[digit] = 48 + (key % 10);
    key = Math.floor(key / 10);
  }
}

async function measure(sessions: readonly Streams[], name: string): Promise<number> {
  const { send, answer, keyAt } = PROTOCOLS[name]!;
  const transactions = Number(options.transactions);
  const before = process.cpuUsage();
  for (let turn = 0; turn < transactions; turn++) {
    const { frontend, backend } = sessions[turn % SESSIONS]!;
    if (keyAt >= 0) changeKey(send, keyAt, turn);
    frontend.receive(send, send.length);
    backend.receive(answer, answer.length);
    // Timers and writes of the audit have their turn, as they have between reads of sockets.
    if (turn % 256 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / transactions;
}

const sessions = Array.from({ length: SESSIONS }, (_, index) => openSession(index));
const names = positionals.length > 0 ? positionals : Object.keys(PROTOCOLS);
for (const name of names) if (!(name in PROTOCOLS)) throw new Error(`there is no protocol ${name}`);
const results = new Map<string, number[]>(names.map((name) => [name, []]));
for (let round = 0; round < Number(options.rounds); round++) {
  for (const name of names) results.get(name)!.push(await measure(sessions, name));
}
console.log('ns of CPU a transaction: least of the rounds (all of them, in order)');
for (const [name, all] of results) {
  console.log(
    `${name.padEnd(9)} ${Math.min(...all).toFixed(0)} (${all.map((ns) => ns.toFixed(0)).join(', ')})`,
  );
}
process.exit(0);
