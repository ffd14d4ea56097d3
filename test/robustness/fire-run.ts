import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { S3 } from '@aws-sdk/client-s3';
import { openBlobStore } from '../../src/blobs/open.ts';
import { type Fate, LossyProxy } from '../blobs/lossy-proxy.ts';
import { CuttingProxy } from '../support/cutting-proxy.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { scratchFolder, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { Random } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { S3_ACCESS_KEY, S3_SECRET_KEY, S3Server } from '../support/s3-server.ts';
import { type Checked, check } from './fire-check.ts';
import { type Attempt, type Battle, write } from './fire-writers.ts';

/**
 * Sixteen clients destroy rows and tables through a gateway that is killed again and again, to a server behind a network
 * that cuts and an administrator who ends sessions, with snapshots in an S3 that fails, forgets and stalls. Afterwards
 * what is committed is compared with what is recorded.
 */

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: what goes, match: { operation: [delete, update, drop table] }, action: snapshot }
  - { name: the rest, action: allow }
`;

const WRITERS = 16;
const ROWS = 600_000;
const BUCKET = 'fire';
/** How long nothing happens to the gateway, the network and the storage, at least and at most. */
const KILLS_MS = [2_000, 7_000] as const;
const CUTS_MS = [300, 2_500] as const;
const ENDED_SESSIONS_MS = [300, 1_500] as const;
const OUTAGES_MS = [2_000, 6_000] as const;
const OUTAGE_MS = [500, 4_000] as const;

export interface Fired extends Checked {
  readonly attempts: number;
  readonly drops: number;
  readonly told: { readonly committed: number; readonly 'rolled back': number; readonly nothing: number };
  readonly kills: number;
  readonly cuts: number;
  readonly sessionsEnded: number;
  readonly outages: number;
  readonly storageFaults: number;
}

export async function fire(postgres: TestPostgres, seed: number, seconds: number): Promise<Fired> {
  process.env['AWS_ACCESS_KEY_ID'] = S3_ACCESS_KEY;
  process.env['AWS_SECRET_ACCESS_KEY'] = S3_SECRET_KEY;
  const folder = await scratchFolder('fire');
  const s3 = await S3Server.start();
  const storage = await LossyProxy.start(s3.port);
  const network = await CuttingProxy.start(postgres.port);
  try {
    const admin = new S3({ region: 'us-east-1', endpoint: s3.endpoint, forcePathStyle: true });
    await admin.createBucket({ Bucket: BUCKET });
    admin.destroy();
    await postgres.sql(`drop schema public cascade; create schema public; drop schema if exists holdfast_trash cascade;
      create table precious (id int primary key, note text);
      insert into precious select i, 'row ' || i from generate_series(1, ${ROWS}) i`);
    const field = new Field(postgres, network, storage, seed, {
      HOLDFAST_SNAPSHOTS_TAKEN: 'on',
      HOLDFAST_SNAPSHOTS: `s3://${BUCKET}@${storage.endpoint}`,
      HOLDFAST_STORE: `sqlite:${join(folder, 'h.db')}`,
      AWS_REGION: 'us-east-1',
    });
    await field.battle(seconds * 1_000);
    const store = openBlobStore(`s3://${BUCKET}@${s3.endpoint}`);
    try {
      const checked = await check(postgres, store, join(folder, 'h.db'), field.attempts);
      return { ...field.told(), ...checked };
    } finally {
      await store.close();
    }
  } finally {
    await network.stop();
    await storage.stop();
    await s3.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Field implements Battle {
  readonly attempts: Attempt[] = [];
  readonly rows = ROWS;
  lastRow = 0;
  isOver = false;
  private readonly postgres: TestPostgres;
  private readonly network: CuttingProxy;
  private readonly storage: LossyProxy;
  private readonly seed: number;
  private readonly environment: Record<string, string>;
  private gateway: TestGateway | null = null;
  private direct: RawClient | null = null;
  private making: Promise<unknown> = Promise.resolve();
  private outage: Fate | null = null;
  private readonly counts = { kills: 0, cuts: 0, sessionsEnded: 0, outages: 0, storageFaults: 0 };

  constructor(
    postgres: TestPostgres,
    network: CuttingProxy,
    storage: LossyProxy,
    seed: number,
    environment: Record<string, string>,
  ) {
    this.postgres = postgres;
    this.network = network;
    this.storage = storage;
    this.seed = seed;
    this.environment = environment;
  }

  port(): number {
    return this.gateway?.port ?? 0;
  }

  made(sql: string): Promise<void> {
    const made = this.making.then(async () => void (await this.direct!.rows(sql)));
    this.making = made;
    return made;
  }

  told(): Omit<Fired, keyof Checked> {
    const how = (told: Attempt['told']) => this.attempts.filter((attempt) => attempt.told === told).length;
    return {
      attempts: this.attempts.length,
      drops: this.attempts.filter(({ what }) => what.kind === 'table').length,
      told: { committed: how('committed'), 'rolled back': how('rolled back'), nothing: how(null) },
      ...this.counts,
    };
  }

  async battle(forMs: number): Promise<void> {
    this.direct = await RawClient.open(this.postgres.port, { application_name: 'direct' });
    await this.startGateway();
    const random = (n: number) => new Random(this.seed * 100 + n);
    this.failStorage(random(90));
    const writers = Array.from({ length: WRITERS }, (_, i) => write(this, random(i)));
    const dangers = [
      this.again(KILLS_MS, random(91), () => this.kill()),
      this.again(CUTS_MS, random(92), (own) => this.cut(own)),
      this.again(ENDED_SESSIONS_MS, random(93), () => this.endSession()),
      this.again(OUTAGES_MS, random(94), (own) => this.fail(own)),
    ];
    await new Promise((resolve) => setTimeout(resolve, forMs));
    this.isOver = true;
    await Promise.all(dangers);
    this.network.cut = { kind: 'never' };
    this.storage.fateOf = () => 'pass';
    this.storage.breakOff();
    await Promise.all(writers);
    // What was begun and never ended is recorded by the next start.
    await this.gateway!.killHard();
    await this.direct.terminate();
    await eventually('the ends of all sessions', async () => {
      const open = await this.postgres.clientSessions();
      return open === 0 ? null : `${open} are open`;
    });
    await this.gateway!.stop();
    await this.startGateway();
    const exit = await this.gateway!.terminate();
    if (exit !== 0) throw new Error(`the last gateway ended with ${exit}:\n${this.gateway!.log()}`);
    await this.gateway!.stop();
  }

  private async again(
    [least, most]: readonly [number, number],
    random: Random,
    act: (random: Random) => Promise<void>,
  ): Promise<void> {
    while (!this.isOver) {
      await new Promise((resolve) => setTimeout(resolve, random.between(least, most)));
      if (!this.isOver) await act(random);
    }
  }

  private async startGateway(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.gateway = await startGateway({
          upstreamPort: this.network.port,
          policy: POLICY,
          environment: this.environment,
        });
        return;
      } catch (error) {
        // One that finds no server behind the network does not start.
        if (attempt === 5) throw error;
      }
    }
  }

  private async kill(): Promise<void> {
    this.counts.kills++;
    await this.gateway!.stop();
    await this.startGateway();
  }

  private async cut(random: Random): Promise<void> {
    this.counts.cuts++;
    this.network.how = random.pick(['fin', 'rst']);
    if (random.chance(0.3)) return this.network.cutAll();
    const within = random.chance(0.5);
    const type = random.pick(['C', 'Z', '1', 'D']);
    this.network.cut = random.chance(0.5)
      ? { kind: 'at-server-message', type, nth: random.between(2, 60), within }
      : { kind: 'after-server-bytes', bytes: random.between(500, 20_000) };
    // Only connections that are made from now on are cut so.
    if (random.chance(0.5)) this.network.cutAll();
    await new Promise((resolve) => setTimeout(resolve, random.between(50, 500)));
    this.network.cut = { kind: 'never' };
  }

  private async endSession(): Promise<void> {
    this.counts.sessionsEnded++;
    await this.made(`select pg_terminate_backend(pid) from pg_stat_activity
      where backend_type = 'client backend' and application_name <> 'direct' order by random() limit 1`);
  }

  private async fail(random: Random): Promise<void> {
    this.counts.outages++;
    this.outage = random.pick<Fate>(['hold', 'lose-answer', { status: 503, code: 'SlowDown' }]);
    await new Promise((resolve) => setTimeout(resolve, random.between(...OUTAGE_MS)));
    this.outage = null;
  }

  private failStorage(random: Random): void {
    const fates: readonly (readonly [number, Fate])[] = [
      [95, 'pass'],
      [2, 'lose-answer'],
      [1, { status: 500, code: 'InternalError' }],
      [1, 'change-body'],
      [1, 'cut-answer'],
    ];
    this.storage.fateOf = () => {
      const fate = this.outage ?? random.weighted(fates);
      if (fate !== 'pass') this.counts.storageFaults++;
      return fate;
    };
  }
}
