/**
 * `npm run bench:session -- [--transactions 100000] [--rounds 5] [--sessions 64] [select] [tpcb/prepared] …`: what
 * sessions cost of themselves, without sockets and without a server: pgbench's transactions and the server's answers to
 * them, through both streams, with the real analyzer, the default policy and the real audit but for its disk.
 * Nanoseconds of CPU a transaction; on a noisy machine the least of the rounds is the one to compare.
 */
import { StoredAuditLog } from '../../src/audit/log.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { PolicyHolder } from '../../src/policy/holder.ts';
import { DEFAULT_POLICY } from '../../src/policy/load.ts';
import { BackendMessages } from '../../src/session/backend-messages.ts';
import { BackendStream } from '../../src/session/backend-stream.ts';
import type { Link } from '../../src/session/connection/link.ts';
import { FrontendMessages } from '../../src/session/frontend-messages.ts';
import { FrontendStream } from '../../src/session/frontend-stream.ts';
import type { SessionServices } from '../../src/session/services.ts';
import { SessionState } from '../../src/session/state.ts';
import { AnalysisCache } from '../../src/sql/cache.ts';
import type { ControlStore } from '../../src/store/control-store.ts';
import * as fe from '../support/frontend-messages.ts';
import { parsed } from './options.ts';

const { values: options, positionals } = parsed(import.meta.url, {
  allowPositionals: true,
  options: {
    transactions: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '5' },
    sessions: { type: 'string', default: '64' },
  },
});
const VARIANTS = 512;

interface Statement {
  /** `$name` stands for a value that differs every time. */
  readonly text: string;
  readonly tag: string;
  readonly status: 'I' | 'T';
  readonly row?: true;
}

const SELECT = 'SELECT abalance FROM pgbench_accounts WHERE aid = $aid';
/** pgbench's own. */
const WORKLOADS: Record<string, readonly Statement[]> = {
  select: [{ text: SELECT, tag: 'SELECT 1', status: 'I', row: true }],
  tpcb: [
    { text: 'BEGIN', tag: 'BEGIN', status: 'T' },
    update('accounts', 'abalance', 'aid'),
    { text: SELECT, tag: 'SELECT 1', status: 'T', row: true },
    update('tellers', 'tbalance', 'tid'),
    update('branches', 'bbalance', 'bid'),
    {
      text: 'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($tid, $bid, $aid, $delta, CURRENT_TIMESTAMP)',
      tag: 'INSERT 0 1',
      status: 'T',
    },
    { text: 'END', tag: 'COMMIT', status: 'I' },
  ],
};
const TABLES = ['accounts', 'tellers', 'branches', 'history'].map((name) => `"pgbench_${name}"`);
const PROTOCOLS = ['simple', 'extended', 'prepared'];

function update(table: string, balance: string, key: string): Statement {
  const text = `UPDATE pgbench_${table} SET ${balance} = ${balance} + $delta WHERE ${key} = $${key}`;
  return { text, tag: 'UPDATE 1', status: 'T' };
}

function values(turn: number): Readonly<Record<string, string>> {
  return {
    aid: String(1 + ((turn * 104_729) % 1_000_000)),
    tid: String(1 + ((turn * 31) % 100)),
    bid: String(1 + (turn % 10)),
    delta: String(-5_000 + ((turn * 7_919) % 10_000)),
  };
}

/** The text with numbers for its parameters, and their names in the order of the numbers. */
function parameterized(text: string): { readonly text: string; readonly names: readonly string[] } {
  const names: string[] = [];
  const numbered = text.replace(/\$(\w+)/g, (_, name: string) => `$${names.push(name)}`);
  return { text: numbered, names };
}

/** One round trip: what the client may send, and what the server answers. */
interface Step {
  readonly sends: readonly Buffer[];
  readonly answer: Buffer;
}

function stepOf({ text, tag, status, row }: Statement, protocol: string, name: string): Step {
  const sends = Array.from({ length: VARIANTS }, (_, turn) => {
    const given = values(turn);
    if (protocol === 'simple')
      return fe.query(`${text.replace(/\$(\w+)/g, (_, name: string) => given[name]!)};`);
    const { text: numbered, names } = parameterized(text);
    const statement = protocol === 'prepared' ? name : '';
    const bind = fe.bind({ statement, parameters: names.map((name) => given[name]!) });
    const parse = protocol === 'prepared' ? [] : [fe.parse('', numbered)];
    return Buffer.concat([...parse, bind, fe.describe('P'), fe.execute(), fe.sync()]);
  });
  const rows = [
    fe.message('T', fe.int16(1), fe.cstring('abalance'), Buffer.alloc(18)),
    fe.message('D', fe.int16(1), fe.int32(1), Buffer.from('0')),
  ];
  const described = row ? rows : protocol === 'simple' ? [] : [fe.message('n')];
  const made = { simple: [], extended: [PARSED, BOUND], prepared: [BOUND] }[protocol] ?? [];
  return {
    sends,
    answer: Buffer.concat([...made, ...described, fe.message('C', fe.cstring(tag)), ready(status)]),
  };
}

const PARSED = fe.message('1');
const BOUND = fe.message('2');

function ready(status: 'I' | 'T'): Buffer {
  return fe.message('Z', Buffer.from(status));
}

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
  counts: null,
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
    writeSoon() {},
    takeTail: () => false,
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
  state.written.learn(new Map(TABLES.map((name) => [name, 'none'])), state.written.moment);
  for (const [workload, statements] of Object.entries(WORKLOADS)) {
    for (const [i, { text }] of statements.entries()) {
      const prepare = Buffer.concat([fe.parse(`${workload}_${i}`, parameterized(text).text), fe.sync()]);
      frontend.receive(prepare, prepare.length);
      const prepared = Buffer.concat([PARSED, ready('I')]);
      backend.receive(prepared, prepared.length);
    }
  }
  return { frontend, backend };
}

/** All sessions are in the same step at a time, so that each finds little of its own in the processor's cache. */
async function measure(sessions: readonly Streams[], steps: readonly Step[]): Promise<number> {
  const transactions = Number(options.transactions);
  const before = process.cpuUsage();
  for (let turn = 0; turn < transactions; turn += sessions.length) {
    for (const { sends, answer } of steps) {
      for (let i = 0; i < sessions.length; i++) {
        const send = sends[(turn + i * 7) % VARIANTS]!;
        sessions[i]!.frontend.receive(send, send.length);
      }
      for (const { frontend, backend } of sessions) {
        if (frontend.isWaiting) throw new Error('a statement is held, or asked about');
        backend.receive(answer, answer.length);
      }
    }
    // Timers and writes of the audit have their turn, as they have between reads of sockets.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / transactions;
}

const sessions = Array.from({ length: Number(options.sessions) }, (_, index) => openSession(index));
const all = Object.keys(WORKLOADS).flatMap((workload) => PROTOCOLS.map((each) => `${workload}/${each}`));
const names =
  positionals.length > 0 ? all.filter((name) => positionals.some((part) => name.includes(part))) : all;
const points = names.map((name) => {
  const [workload, protocol] = name.split('/') as [string, string];
  const steps = WORKLOADS[workload]!.map((each, i) => stepOf(each, protocol, `${workload}_${i}`));
  return { name, steps, results: [] as number[] };
});
for (let round = 0; round < Number(options.rounds); round++) {
  for (const { steps, results } of points) results.push(await measure(sessions, steps));
}
console.log('ns of CPU a transaction: least of the rounds (all of them, in order)');
for (const { name, results } of points) {
  const inOrder = results.map((ns) => ns.toFixed(0)).join(', ');
  console.log(`${name.padEnd(15)} ${Math.min(...results).toFixed(0)} (${inOrder})`);
}
process.exit(0);
