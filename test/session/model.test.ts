import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Mode } from '../../src/policy/decision.ts';
import { decodeFrontendMessage, type FrontendMessage } from '../../src/wire/frontend-message.ts';
import { HEADER_BYTES } from '../../src/wire/message-type.ts';
import * as fe from '../support/frontend-messages.ts';
import { type BareHeader, ModelServer } from './model-server.ts';
import { ScriptedSession } from './scripted-session.ts';

/**
 * Random clients against a model of the server, with the gateway between them and every crossing on the wire: the
 * client sends, the server works and its answers arrive in an order that fast-check chooses. Whatever happens,
 * nothing that policy blocks runs; what the gateway believes of a name is what the server has; and a client that is
 * only monitored reads what it would have read without the gateway.
 */

/** RUNS=100000 looks for longer; the seed of a failure is printed. */
const RUNS = Number(process.env['RUNS'] ?? 1_500);

type Step =
  | { readonly kind: 'send'; readonly messages: readonly Buffer[] }
  | { readonly kind: 'work'; readonly count: number }
  | { readonly kind: 'deliver'; readonly count: number };

/** A step that a counterexample shows in words. */
function shown(step: Step): Step {
  const words =
    step.kind === 'send'
      ? `send ${step.messages.map((message) => JSON.stringify(message.toString('latin1').replace(/^(.)..../s, '$1 '))).join(' ')}`
      : `${step.kind} ${step.count}`;
  return Object.defineProperty(step, fc.toStringMethod, { value: () => words });
}

const name = fc.constantFrom('', '', 'x', 'y');
const texts = fc.constantFrom('SELECT 1', 'SELECT 2', 'DELETE 1', 'DELETE 2', '', 'BAD', 'FAIL', 'DEFER');
const inSql = (text: fc.Arbitrary<string>) =>
  fc.oneof(
    fc
      .tuple(fc.constantFrom('x', 'y'), text)
      .map(([to, body]) => (body === '' || body === 'BAD' ? 'SELECT 4' : `PREPARE ${to} AS ${body}`)),
    fc.constantFrom('EXECUTE x', 'EXECUTE y', 'DEALLOCATE x', 'DEALLOCATE y', 'DEALLOCATE ALL'),
  );
const copies = fc.constantFrom('COPY', 'COPY', 'TRIGGER');

function messages(text: fc.Arbitrary<string>): fc.Arbitrary<readonly Buffer[]> {
  const any = fc.oneof(
    { weight: 6, arbitrary: text },
    { weight: 3, arbitrary: inSql(text) },
    { weight: 1, arbitrary: copies },
  );
  const copyEnd = fc.constantFrom(fe.copyDone(), fe.copyFail('no'), fe.copyData('bad'));
  return fc.oneof(
    { weight: 5, arbitrary: fc.tuple(name, any).map(([to, sql]) => [fe.parse(to, sql)]) },
    { weight: 5, arbitrary: name.map((statement) => [fe.bind({ statement }), fe.execute()]) },
    { weight: 1, arbitrary: name.map((statement) => [fe.bind({ statement, portal: 'p' })]) },
    { weight: 1, arbitrary: fc.constantFrom([fe.execute('p')], [fe.close('P', 'p')], [fe.flush()]) },
    { weight: 2, arbitrary: name.map((statement) => [fe.describe('S', statement)]) },
    { weight: 2, arbitrary: name.map((statement) => [fe.close('S', statement)]) },
    { weight: 6, arbitrary: fc.constant([fe.sync()]) },
    { weight: 1, arbitrary: fc.constantFrom([fe.functionCall(1, [])], [fe.functionCall(2, [])]) },
    {
      weight: 4,
      arbitrary: fc.array(any, { minLength: 1, maxLength: 3 }).map((parts) => [fe.query(parts.join(';'))]),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.boolean(), fc.boolean(), copyEnd)
        .map(([early, data, end]) => [
          ...(early ? [fe.sync()] : []),
          ...(data ? [fe.copyData('good')] : []),
          end,
        ]),
    },
  );
}

function script(text: fc.Arbitrary<string>): fc.Arbitrary<readonly Step[]> {
  const send = fc
    .array(messages(text), { minLength: 1, maxLength: 6 })
    .map((groups) => shown({ kind: 'send', messages: groups.flat() }));
  const count = fc.integer({ min: 1, max: 12 });
  return fc.array(
    fc.oneof(
      { weight: 3, arbitrary: send },
      { weight: 2, arbitrary: count.map((n) => shown({ kind: 'work', count: n })) },
      { weight: 2, arbitrary: count.map((n) => shown({ kind: 'deliver', count: n })) },
    ),
    { minLength: 1, maxLength: 14 },
  );
}

/** The client, the gateway and the server, and what is on its way between them. */
class Wire {
  readonly scripted: ScriptedSession;
  readonly server = new ModelServer();
  readonly read: Buffer[] = [];
  private readonly toServer: (FrontendMessage | BareHeader)[] = [];
  private brokenOff = false;
  private readonly toGateway: Buffer[] = [];

  constructor(mode: Mode) {
    this.scripted = new ScriptedSession({ mode });
  }

  /** The session, or the server, has ended it. */
  get over(): boolean {
    const { client, upstream } = this.scripted;
    return (
      this.server.dead ||
      this.brokenOff ||
      client.ended ||
      client.socket.destroyed ||
      upstream.socket.destroyed
    );
  }

  async step(step: Step): Promise<void> {
    switch (step.kind) {
      case 'send':
        this.scripted.client.receive(Buffer.concat(step.messages));
        break;
      case 'work':
        for (const message of this.toServer.splice(0, step.count)) {
          this.toGateway.push(...this.server.receive(message));
        }
        break;
      case 'deliver': {
        const replies = this.toGateway.splice(0, step.count);
        if (replies.length > 0) this.scripted.upstream.receive(Buffer.concat(replies));
      }
    }
    await Promise.resolve();
    this.collect();
  }

  /** Lets all that is under way arrive. */
  async finish(): Promise<void> {
    do {
      await this.scripted.settle();
      this.collect();
      await this.step({ kind: 'work', count: 1_000 });
      await this.step({ kind: 'deliver', count: 1_000 });
      await this.scripted.settle();
      this.collect();
    } while (this.toServer.length > 0 || this.toGateway.length > 0);
  }

  private collect(): void {
    for (const { type, body } of this.scripted.upstream.take()) {
      const message = decodeFrontendMessage(type, body);
      if (message.kind === 'invalid') throw new Error(message.problem);
      this.toServer.push(message);
    }
    if (!this.brokenOff && this.scripted.upstream.rest.length === HEADER_BYTES) {
      this.brokenOff = true;
      this.toServer.push({ kind: 'bare-header' });
    }
    for (const { type, body } of this.scripted.client.take()) {
      this.read.push(Buffer.concat([Buffer.from([type]), fe.int32(body.length + 4), body]));
    }
  }
}

/** Ends any COPY and any segment, and asks for one row to see that the replies still belong to their messages. */
const LAST: Step = { kind: 'send', messages: [fe.copyFail('over'), fe.sync()] };
const PROBE: Step = { kind: 'send', messages: [fe.query('SELECT 9')] };

async function play(steps: readonly Step[], mode: Mode): Promise<Wire> {
  const wire = new Wire(mode);
  for (const step of steps) await wire.step(step);
  await wire.finish();
  await wire.step(LAST);
  await wire.finish();
  wire.read.push(Buffer.from('|'));
  await wire.step(PROBE);
  await wire.finish();
  return wire;
}

function playDirectly(steps: readonly Step[]): Buffer[] {
  const model = new ModelServer();
  const read: Buffer[] = [];
  const sends = steps.filter((step) => step.kind === 'send');
  for (const step of [...sends, LAST, PROBE]) {
    if (step === PROBE) read.push(Buffer.from('|'));
    for (const bytes of step.kind === 'send' ? step.messages : []) {
      const message = decodeFrontendMessage(bytes[0]!, bytes.subarray(HEADER_BYTES));
      if (message.kind === 'invalid') throw new Error(message.problem);
      read.push(...model.receive(message));
    }
  }
  return read;
}

/** All but who ends a session: where the server is about to, the gateway may be ahead of it. */
function wordsOf(read: readonly Buffer[]): string[] {
  return read.map((bytes) => bytes.toString('latin1')).filter((words) => !words.includes('VFATAL'));
}

describe('whatever a client sends and however it crosses on the wire', () => {
  it('nothing that is blocked runs, and names are what the server has', {
    timeout: 600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(script(texts), async (steps) => {
        const wire = await play(steps, 'protect');
        expect(wire.server.ran.filter((text) => text.startsWith('DELETE'))).toEqual([]);
        if (wire.over) return;
        expect(wire.scripted.owed).toBe(0);
        for (const [statement, text] of wire.server.statements) {
          const believed = wire.scripted.textOf(statement);
          if (believed === null) continue;
          const operation = `prepared ${text.split(' ')[0]!.toLowerCase()}`;
          expect([statement, believed]).toEqual([
            statement,
            believed.startsWith('prepared') ? operation : text,
          ]);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('a client that is only monitored reads what it would read directly', {
    timeout: 600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(script(texts), async (steps) => {
        const wire = await play(steps, 'monitor');
        if (wire.over && !wire.server.dead) return;
        expect(wordsOf(wire.read)).toEqual(wordsOf(playDirectly(steps)));
      }),
      { numRuns: RUNS },
    );
  });
});
