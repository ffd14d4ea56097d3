import * as fe from '../support/frontend-messages.ts';
import { Random } from '../support/random.ts';
import { type BackendMessage, DeadlineError, describeMessage, RawClient } from '../support/raw-client.ts';
import type { Packets, Script } from './script.ts';

/** What a client saw of one run of a script. */
export interface Trace {
  readonly messages: readonly BackendMessage[];
  /** How the connection ended before the client closed it; `open` where the runner closed it in order. */
  readonly end: 'open' | 'end' | 'reset';
  /** Messages that had come at each pause. */
  readonly pauses: readonly number[];
  /** What the run waited for in vain, or null. */
  readonly stuck: string | null;
}

export const RUN_DEADLINE_MS = 8_000;
const QUIET_MS = 5;
const END_MARK = 'end-of-this-session';

/**
 * Runs a script. Without `owed` a pause waits until the line is quiet and notes how much had come; with it,
 * a pause waits for as much as the other run got there, so that a reply held back is found out.
 */
export async function runScript(
  script: Script,
  target: { readonly port: number; readonly database: string },
  owed: readonly number[] | null = null,
  deadlineMs: number = RUN_DEADLINE_MS,
): Promise<Trace> {
  const client = await RawClient.connect(target.port);
  const pauses: number[] = [];
  const packets = new PacketWriter(client, script.packets, script.seed);
  let stuck: string | null = null;
  let end: Trace['end'] = 'open';
  try {
    client.write(fe.startup({ user: 'postgres', database: target.database, ...script.startup }));
    await client.untilCountWithType('Z', 1, deadlineMs);
    for (const step of script.steps) {
      if (step.kind === 'send') {
        packets.add(step.bytes);
        continue;
      }
      await packets.send();
      if (step.kind === 'half-close') {
        client.halfClose();
        continue;
      }
      const count = owed?.[pauses.length];
      if (count === undefined) await client.untilQuiet(QUIET_MS, deadlineMs);
      else await client.untilCount(count, deadlineMs);
      pauses.push(client.received);
    }
    if (script.closing === 'in-order') {
      // Whatever state the session is in, these bring it to where it answers a query.
      packets.add(fe.copyFail('the script is over'));
      packets.add(fe.sync());
      packets.add(fe.query('rollback'));
      packets.add(fe.query(`select '${END_MARK}'`));
      await packets.send();
      await client.untilMark(END_MARK, deadlineMs);
      end = client.end;
      if (client.end === 'open') await client.terminate(deadlineMs);
    } else {
      await packets.send();
      await client.untilClosed(deadlineMs);
      end = client.end;
    }
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    stuck = error.message;
    end = client.end;
  } finally {
    client.destroy();
  }
  return { messages: client.inbox.map(copyMessage), end, pauses, stuck };
}

/** Gathers bytes between pauses and cuts them as the script says. */
class PacketWriter {
  readonly #client: RawClient;
  readonly #packets: Packets;
  readonly #random: Random;
  #waiting: Buffer[] = [];

  constructor(client: RawClient, packets: Packets, seed: number) {
    this.#client = client;
    this.#packets = packets;
    this.#random = new Random(seed ^ 0x5bd1e995);
  }

  add(bytes: Buffer): void {
    this.#waiting.push(bytes);
  }

  async send(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length === 0) return;
    switch (this.#packets) {
      case 'together':
        this.#client.write(Buffer.concat(waiting));
        return;
      case 'by-message':
        for (const bytes of waiting) await this.#client.writeSplit(bytes, [bytes.length]);
        return;
      case 'odd': {
        const bytes = Buffer.concat(waiting);
        const sizes: number[] = [];
        const coarse = bytes.length > 20_000;
        for (let sum = 0; sum < bytes.length; sum += sizes[sizes.length - 1]!) {
          sizes.push(
            coarse ? this.#random.between(1, 40_000) : this.#random.pick([1, 2, 3, 4, 5, 6, 7, 19, 100]),
          );
        }
        await this.#client.writeSplit(bytes, sizes);
        return;
      }
      default:
        this.#packets satisfies never;
    }
  }
}

function copyMessage(message: BackendMessage): BackendMessage {
  return { type: message.type, body: Buffer.from(message.body) };
}

/**
 * Replaces what two connections can never have in common: keys, process ids, oids of new tables. When a session's caches grow
 * is told at the level DEBUG, and hangs on all that it has looked up.
 */
export function normalise(messages: readonly BackendMessage[]): BackendMessage[] {
  const tables = new Map<number, number>();
  const compared = messages.filter(({ type, body }) => type !== 'N' || !body.includes('Mrehashing catalog '));
  return compared.map((message) => {
    switch (message.type) {
      case 'K':
        return { type: 'K', body: Buffer.alloc(message.body.length) };
      case 'A':
        return { type: 'A', body: Buffer.concat([Buffer.alloc(4), message.body.subarray(4)]) };
      case 'T':
        return { type: 'T', body: withoutTableOids(message.body, tables) };
      case 'N':
      case 'E':
        return { type: message.type, body: withoutOwnNames(message.body) };
      default:
        return message;
    }
  });
}

/**
 * Where the gateway asks the server first, an error may come of that, which has no place in the client's text and
 * comes from another line of the server's source.
 */
const errorsByCode = () => process.env['HOLDFAST_FUZZ_ERRORS'] === 'code';

/** Debug messages name TOAST tables by an oid, which is new in each database; others name the database. */
function withoutOwnNames(body: Buffer): Buffer {
  let text = body.toString('latin1').replaceAll(/pg_toast_\d+/g, 'pg_toast');
  if (errorsByCode()) text = text.replaceAll(/\0[FLRPpqW][^\0]+/g, '');
  return Buffer.from(text.replaceAll(/(direct|through)_(?=\w+_\d)/g, ''), 'latin1');
}

const FIRST_USER_OID = 16_384;

function withoutTableOids(body: Buffer, tables: Map<number, number>): Buffer {
  const out = Buffer.from(body);
  let at = 2;
  for (let columns = body.readUInt16BE(0); columns > 0; columns--) {
    at = body.indexOf(0, at) + 1;
    const oid = body.readUInt32BE(at);
    if (oid >= FIRST_USER_OID) {
      if (!tables.has(oid)) tables.set(oid, tables.size + 1);
      out.writeUInt32BE(tables.get(oid)!, at);
    }
    at += 18;
  }
  return out;
}

/** The first thing in which two traces differ, in words, or null. */
export function differenceOf(direct: Trace, through: Trace): string | null {
  const expected = normalise(direct.messages);
  const actual = normalise(through.messages);
  // A reset may eat what was on its way: then the shorter must be the beginning of the longer.
  const mayBeCut = direct.end === 'reset' || through.end === 'reset';
  const length = Math.max(expected.length, actual.length);
  for (let i = 0; i < length; i++) {
    const a = expected[i];
    const b = actual[i];
    if (a === undefined || b === undefined) {
      if (mayBeCut) break;
      return [
        `message ${i}: ${a === undefined ? 'one too many' : 'missing'}: ${describeMessage((a ?? b)!)}`,
        through.stuck === null ? '' : `the run through the middle was stuck: ${through.stuck}`,
        context(expected, i),
      ].join('\n');
    }
    if (a.type !== b.type || !a.body.equals(b.body)) {
      return [
        `message ${i} differs`,
        `  direct:  ${describeMessage(a)}`,
        `  through: ${describeMessage(b)}`,
        context(expected, i),
      ].join('\n');
    }
  }
  if (direct.stuck === null && through.stuck !== null) return `stuck through the middle: ${through.stuck}`;
  const late = direct.pauses.findIndex((count, i) => (through.pauses[i] ?? 0) < count);
  if (late >= 0 && !mayBeCut) {
    return `at pause ${late} only ${through.pauses[late]} of ${direct.pauses[late]} messages had come`;
  }
  const closed = (end: Trace['end']) => (end === 'open' ? 'open' : 'closed');
  if (closed(direct.end) !== closed(through.end)) {
    return `the connection ends as ${direct.end} directly and as ${through.end} through the middle`;
  }
  return null;
}

function context(messages: readonly BackendMessage[], at: number): string {
  const from = Math.max(0, at - 4);
  const lines = messages.slice(from, at).map((m, i) => `  ${from + i} ${describeMessage(m)}`);
  return lines.length === 0 ? '' : `after:\n${lines.join('\n')}`;
}
