import { connect } from 'node:net';
import pg from 'pg';
import type { Preview } from '../../src/preview/preview.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';

/** A gateway that holds whatever writes, in front of a server of its own, and what it shows of what is held. */
export class HeldPreviews {
  readonly postgres: TestPostgres;
  readonly gateway: TestGateway;
  private readonly clients: pg.Client[] = [];

  private constructor(postgres: TestPostgres, gateway: TestGateway) {
    this.postgres = postgres;
    this.gateway = gateway;
  }

  static async start(version: 15 | 18, schema: string, policy: string): Promise<HeldPreviews> {
    const postgres = await startPostgres({ version });
    await postgres.sql(schema);
    const environment = { HOLDFAST_SNAPSHOTS_TAKEN: 'on' };
    const gateway = await startGateway({ upstreamPort: postgres.port, policy, environment });
    return new HeldPreviews(postgres, gateway);
  }

  async stop(): Promise<void> {
    for (const client of this.clients) await client.end().catch(() => {});
    await this.gateway.stop();
    await this.postgres.stop();
  }

  async client(user = 'postgres', options = ''): Promise<pg.Client> {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: this.gateway.port,
      user,
      database: 'postgres',
      ...(options === '' ? {} : { options }),
    });
    client.on('error', () => {});
    this.clients.push(client);
    await client.connect();
    return client;
  }

  /** Sends it, waits for the preview of its hold, then lets the hold end. */
  async of(
    client: pg.Client,
    sql: string,
    values?: readonly unknown[],
    verdict: 'deny' | 'approve' = 'deny',
    token?: string,
  ): Promise<Preview> {
    const running = client.query(sql, values as unknown[]).then(
      () => 'done',
      (error: Error & { code?: string }) => error.code ?? error.message,
    );
    const id = await this.pending();
    const preview = await this.ready(id, token);
    await this.gateway.http(`/v1/approvals/${id}/${verdict}`, { method: 'POST', body: {} });
    this.ended = await running;
    return preview;
  }

  /** How the client's statement ended. */
  ended = '';

  /** As Ctrl-C does. */
  async cancel(client: pg.Client): Promise<void> {
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const request = Buffer.alloc(16);
    const words = [16, 80_877_102, processID, secretKey];
    for (const [i, word] of words.entries()) request.writeInt32BE(word, i * 4);
    const socket = connect(this.gateway.port, '127.0.0.1');
    await new Promise((resolve) => socket.on('error', resolve).on('close', resolve).end(request).resume());
  }

  /** Waits until the server counts rows for long. */
  async counting(): Promise<void> {
    const sql = `select count(*) from pg_stat_activity where state = 'active' and query like '%generate_series%'
      and pid <> pg_backend_pid()`;
    await eventually('the count', async () => {
      const [row] = await this.postgres.sql(sql);
      return row![0] === '1' ? null : 'nothing is counted';
    });
  }

  /** The client's machine goes. */
  leave(client: pg.Client): void {
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }

  async pending(): Promise<string> {
    for (let tries = 0; tries < 400; tries++) {
      const { body } = await this.gateway.http('/v1/approvals?state=pending');
      const [first] = (body as { items: { id: string }[] }).items;
      if (first !== undefined) return first.id;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`nothing is held:\n${this.gateway.log()}`);
  }

  /** As whoever has the token sees it; else as somebody who may see all of it. */
  async ready(id: string, token = this.gateway.token): Promise<Preview> {
    for (let tries = 0; tries < 800; tries++) {
      const { body, text } = await this.gateway.http(`/v1/approvals/${id}/preview`, { token });
      const { state, preview } = body as { state: string; preview: Preview };
      if (state === 'ready') return preview;
      if (state !== 'pending') throw new Error(text);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`no preview came:\n${this.gateway.log()}`);
  }
}
