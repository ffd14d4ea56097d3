import * as fe from '../support/frontend-messages.ts';
import { Random } from '../support/random.ts';
import { DeadlineError, RawClient } from '../support/raw-client.ts';
import { quoted } from './random-schema.ts';
import type { SentScript, Step } from './sent-script.ts';

/** The client of such a session. */

const DEADLINE_MS = 15_000;

/** Whatever state the session is in, it has no transaction behind these. */
export const ENDING: readonly Step[] = [
  { kind: 'send', what: 'Sync', bytes: [fe.sync()], ready: 1 },
  { kind: 'send', what: 'Query rollback', bytes: [fe.query('rollback')], ready: 1 },
];

export class SentSession {
  readonly client: RawClient;
  readonly #script: SentScript;
  readonly #random: Random;
  pauses: number[] = [];
  stuck: string | null = null;

  private constructor(client: RawClient, script: SentScript) {
    this.client = client;
    this.#script = script;
    this.#random = new Random(script.seed ^ 0x5bd1e995);
  }

  static async open(
    { port }: { readonly port: number },
    database: string,
    application: string,
    script: SentScript,
  ): Promise<SentSession> {
    const client = await RawClient.open(port, { database, application_name: application });
    await client.rows(`set search_path = ${quoted(script.schema.schema)}, ${quoted(script.twin)}`);
    return new SentSession(client, script);
  }

  async run(step: Step, owed: readonly number[]): Promise<void> {
    if (this.stuck !== null) return;
    try {
      if (step.kind === 'send') {
        const ready = this.client.inbox.filter(({ type }) => type === 'Z').length + step.ready;
        await this.#write(step.bytes);
        await this.client.untilCountWithType('Z', ready, DEADLINE_MS);
      } else if (step.kind === 'pause') {
        const at = this.pauses.length;
        if (owed !== this.pauses) await this.client.untilCount(owed[at] ?? 0, DEADLINE_MS);
        else await this.client.untilQuiet(8, DEADLINE_MS);
        this.pauses.push(this.client.received);
      }
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error;
      this.stuck = error.message;
    }
  }

  async #write(messages: readonly Buffer[]): Promise<void> {
    switch (this.#script.packets) {
      case 'together':
        this.client.write(...messages);
        return;
      case 'by message':
        for (const bytes of messages) await this.client.writeSplit(bytes, [bytes.length]);
        return;
      case 'odd': {
        const bytes = Buffer.concat(messages);
        const sizes = Array.from({ length: 40 }, () => this.#random.between(1, 60));
        await this.client.writeSplit(bytes, [...sizes, 5000]);
        return;
      }
      default:
        this.#script.packets satisfies never;
    }
  }
}
