import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Mode } from '../../src/policy/decision.ts';
import { decodeFrontendMessage, type FrontendMessage } from '../../src/wire/frontend-message.ts';
import { HEADER_BYTES } from '../../src/wire/message-type.ts';
import * as fe from '../support/frontend-messages.ts';
import { seedOfRun } from '../support/random.ts';
import { type Step, scripts, versions } from './model-client.ts';
import { type BareHeader, ModelServer, type ModelVersion } from './model-server.ts';
import { ScriptedSession } from './scripted-session.ts';

/**
 * Random clients against a model of the server, with the gateway between them and every crossing on the wire: the
 * client sends, the server works and its answers arrive in an order that fast-check chooses. Whatever happens,
 * nothing that policy blocks runs; what the gateway believes of a name is what the server has; and a client that is
 * only monitored reads what it would have read without the gateway.
 */

/** RUNS=100000 looks for longer, HOLDFAST_SEED=7 elsewhere; the seed of a failure is printed. */
const RUNS = Number(process.env['RUNS'] ?? 5_000);
const SEED = seedOfRun(1);

/** The client, the gateway and the server, and what is on its way between them. */
class Wire {
  readonly scripted: ScriptedSession;
  readonly server: ModelServer;
  approved = 0;
  readonly read: Buffer[] = [];
  private readonly toServer: (FrontendMessage | BareHeader)[] = [];
  private brokenOff = false;
  private answered = 0;
  private readonly toGateway: Buffer[] = [];

  constructor(mode: Mode, version: ModelVersion) {
    this.server = new ModelServer(version);
    const { standardStrings, path } = version.defaults;
    this.scripted = new ScriptedSession({
      mode,
      searchPath: null,
      parameters: {
        standard_conforming_strings: standardStrings,
        ...(version.tellsPath ? { search_path: path } : {}),
      },
    });
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
        break;
      }
      case 'calm':
        return this.calm();
      case 'approve':
      case 'deny':
        await this.answerHold(step.kind === 'approve');
        break;
      case 'parsed':
        this.scripted.services.late.shift()?.();
        await this.scripted.settle();
    }
    await Promise.resolve();
    this.collect();
  }

  private async answerHold(approves: boolean): Promise<void> {
    const held = this.scripted.services.approvals.asked[this.answered];
    if (held === undefined) return;
    this.answered++;
    if (approves) this.approved++;
    held.settle(
      approves
        ? { kind: 'approved', by: 'eva', comment: null }
        : { kind: 'denied', by: 'eva', comment: null },
    );
    await this.scripted.settle();
  }

  /** Lets all that is under way arrive. */
  private async calm(): Promise<void> {
    do {
      await this.scripted.settle();
      this.collect();
      await this.step({ kind: 'work', count: 1_000 });
      await this.step({ kind: 'deliver', count: 1_000 });
      await this.scripted.settle();
      this.collect();
    } while (this.toServer.length > 0 || this.toGateway.length > 0);
  }

  /** As `calm`, and nothing waits for anything but the server any more. */
  async finish(): Promise<void> {
    const { late, approvals } = this.scripted.services;
    do {
      for (const ready of late.splice(0)) ready();
      if (this.answered < approvals.asked.length) await this.answerHold(false);
      await this.calm();
    } while (late.length > 0 || this.answered < approvals.asked.length);
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

/** Ends any COPY, any segment and any transaction, and asks for one row to see that the replies still belong to their messages. */
const LAST: Step = { kind: 'send', messages: [fe.copyFail('over'), fe.sync(), fe.query('ROLLBACK')] };
const PROBE: Step = { kind: 'send', messages: [fe.query('SELECT 9')] };

async function play(steps: readonly Step[], mode: Mode, version: ModelVersion): Promise<Wire> {
  const wire = new Wire(mode, version);
  for (const step of steps) await wire.step(step);
  await wire.finish();
  await wire.step(LAST);
  await wire.finish();
  wire.read.push(Buffer.from('|'));
  await wire.step(PROBE);
  await wire.finish();
  return wire;
}

function playDirectly(steps: readonly Step[], version: ModelVersion): Buffer[] {
  const model = new ModelServer(version);
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
      fc.asyncProperty(scripts, versions, async (steps, version) => {
        const wire = await play(steps, 'protect', version);
        const { ran, statements } = wire.server.session;
        expect(ran.filter((text) => text.startsWith('DELETE'))).toEqual([]);
        // One approval is for a whole Query, of up to three statements.
        const held = ran.filter((text) => text.startsWith('UPDATE'));
        expect(held.length).toBeLessThanOrEqual(wire.approved * 3);
        if (wire.over) return;
        expect(wire.scripted.owed).toBe(0);
        for (const [statement, { text, meaning }] of statements) {
          const believed = wire.scripted.textOf(statement);
          if (believed === null) continue;
          const verb = meaning.startsWith('SELECT q') ? 'quote' : meaning.split(' ')[0]!.toLowerCase();
          const operation = `prepared ${verb}`;
          expect([statement, believed]).toEqual([
            statement,
            believed.startsWith('prepared') ? operation : text,
          ]);
        }
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });

  it('a client that is only monitored reads what it would read directly', {
    timeout: 600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(scripts, versions, async (steps, version) => {
        const wire = await play(steps, 'monitor', version);
        if (wire.over && !wire.server.dead) return;
        expect(wordsOf(wire.read)).toEqual(wordsOf(playDirectly(steps, version)));
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
});
