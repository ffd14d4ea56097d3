import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, fieldsOf, RawClient } from '../support/raw-client.ts';

const TABLES_SQL = `
drop table if exists precious, other cascade;
create table precious (id int primary key, note text);
insert into precious select i, 'row ' || i from generate_series(1, 10) i;
create table other (id int);
create or replace function wipe_precious() returns int language plpgsql volatile as
  $$ begin delete from precious; return 1; end $$;
create or replace function wipe_immutable() returns int language plpgsql immutable as
  $$ begin return wipe_precious(); end $$;
grant all on precious, other to public;
`;

/** What stands between the gateway and its server. */
export interface Between {
  readonly port: number;
  stop(): Promise<void>;
}

/** A gateway with a policy in front of a database that has something to lose. */
export class DecisionFixture {
  readonly postgres: TestPostgres;
  #gateway: TestGateway;
  /** What ran before. */
  readonly #earlier: TestGateway[] = [];
  #control: RawClient | null = null;
  #asked: Promise<unknown> = Promise.resolve();

  readonly #stopBetween: () => Promise<void>;

  private constructor(postgres: TestPostgres, gateway: TestGateway, stopBetween: () => Promise<void>) {
    this.postgres = postgres;
    this.#gateway = gateway;
    this.#stopBetween = stopBetween;
  }

  get gateway(): TestGateway {
    return this.#gateway;
  }

  /** Another one runs in the place of the gateway, with its files. */
  goesOnWith(next: TestGateway): void {
    this.#earlier.push(this.#gateway);
    this.#gateway = next;
  }

  static async start(
    policy: string,
    environment: Record<string, string> | ((postgres: TestPostgres) => Record<string, string>) = {},
    version: 15 | 18 = 18,
    settings: Record<string, string> = {},
    between: (to: number) => Promise<Between> = async (port) => ({ port, stop: async () => {} }),
  ): Promise<DecisionFixture> {
    const postgres = await startPostgres({ version, settings });
    const middle = await between(postgres.port);
    const stop = async () => await middle.stop();
    try {
      await postgres.sql(TABLES_SQL);
      return new DecisionFixture(
        postgres,
        await startGateway({
          upstreamPort: middle.port,
          policy,
          environment: typeof environment === 'function' ? environment(postgres) : environment,
        }),
        stop,
      );
    } catch (error) {
      await stop();
      await postgres.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#control?.destroy();
    for (const gateway of [this.#gateway, ...this.#earlier]) await gateway.stop();
    await this.#stopBetween();
    await this.postgres.stop();
  }

  async reset(): Promise<void> {
    await this.#ask(TABLES_SQL);
  }

  /**
   * Past the gateway, over a connection that is kept: each test asks for the same, and a session of its own takes the
   * server longer than what is asked. One after the other, since it has one answer at a time.
   */
  async #ask(sql: string): Promise<(string | null)[][]> {
    const rows = this.#asked.then(async () => {
      if (this.#control === null || this.#control.end !== 'open') {
        this.#control = await RawClient.open(this.postgres.port, {
          application_name: 'holdfast-test-control',
        });
      }
      return await this.#control.rows(sql, 60_000);
    });
    this.#asked = rows.catch(() => {});
    return await rows;
  }

  async client(parameters: Record<string, string> = {}): Promise<RawClient> {
    return await RawClient.open(this.gateway.port, parameters);
  }

  /** Rows of the table that matters, seen past the gateway. */
  async preciousRows(): Promise<number> {
    return Number((await this.#ask('select count(*) from precious'))[0]![0]);
  }

  async approval(id: string): Promise<Record<string, unknown>> {
    const { status, body, text } = await this.gateway.http(`/v1/approvals/${id}`);
    if (status !== 200) throw new Error(`GET approval ${id}: ${status} ${text}`);
    return body as Record<string, unknown>;
  }

  async resolve(id: string, verb: 'approve' | 'deny'): Promise<void> {
    const { status, text } = await this.gateway.http(`/v1/approvals/${id}/${verb}`, {
      method: 'POST',
      body: { comment: 'by a test' },
    });
    if (status !== 200) throw new Error(`${verb} ${id}: ${status} ${text}`);
  }

  async untilApprovalIs(id: string, state: string): Promise<void> {
    await eventually(`approval ${id}`, async () => {
      const seen = (await this.approval(id))['state'];
      return seen === state ? null : `is ${String(seen)}, not ${state}`;
    });
  }

  /** Audit events, oldest first, that `wanted` picks, once there are so many. */
  async auditEvents(
    wanted: (event: Record<string, unknown>) => boolean,
    count: number,
  ): Promise<Record<string, unknown>[]> {
    let picked: Record<string, unknown>[] = [];
    await eventually('the audit', async () => {
      const { status, body, text } = await this.gateway.http('/v1/audit?limit=500');
      if (status !== 200) return `${status} ${text}`;
      const { items } = body as { items: Record<string, unknown>[] };
      picked = items.filter((event) => !isVerdict(event) && wanted(event)).reverse();
      return picked.length >= count
        ? null
        : `${picked.length} of ${count} events: ${JSON.stringify(items.slice(0, 3))}`;
    });
    return picked;
  }
}

/** An approval or denial, which is recorded beside the statement that it is of. */
const isVerdict = (event: Record<string, unknown>): boolean =>
  event['protocol'] === 'admin' && event['approval_id'] !== null;

const APPROVAL_ID = /[a-z]+_[0-9a-z]{20}/;

/** Reads up to the notice that says that a statement waits, and gives the approval's id from its detail. */
export async function heldId(client: RawClient): Promise<string> {
  const notice = (await client.until('N')).at(-1) as BackendMessage;
  const fields = fieldsOf(notice);
  const id = APPROVAL_ID.exec(fields['D'] ?? '');
  if (id === null) throw new Error(`no approval id in the notice ${JSON.stringify(fields)}`);
  return id[0];
}
