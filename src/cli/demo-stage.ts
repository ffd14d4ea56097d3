import { userInfo } from 'node:os';
import type pg from 'pg';
import { HoldfastError } from '../base/errors.ts';
import { readManifest } from '../snapshot/manifest.ts';
import { allDays, listSnapshots } from '../snapshot/snapshots.ts';
import { AdminClient } from './admin-client.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';
import type { OpenedStore, StoreOptions } from './snapshot-store.ts';
import { listCommand } from './snapshots-list.ts';
import { alignRows } from './table.ts';
import { undoCommand } from './undo-run.ts';

export interface StageParts {
  readonly io: Io;
  readonly options: StoreOptions;
  readonly opened: OpenedStore;
  /** Through the gateway, as any client; and past it, as undo is. */
  readonly client: pg.Client;
  readonly direct: pg.Client;
  readonly directUrl: string;
  readonly adminUrl: string;
}

export interface Result {
  readonly tag: string;
  readonly names: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
}

/** How many of the newest are looked at for the one that a statement has just left. */
const LOOKED_AT = 20;

/** What the steps of the demo are played on: it says what is done, shows the statement, and what came of it. */
export class DemoStage {
  readonly #parts: StageParts;

  constructor(parts: StageParts) {
    this.#parts = parts;
  }

  heading(text: string): void {
    this.#parts.io.out(`\n${text}\n${'-'.repeat(text.length)}`);
  }

  say(text: string): void {
    this.#parts.io.out(`\n${text}\n`);
  }

  /** Runs a statement through the gateway, for everybody to see. */
  async show(sql: string): Promise<Result> {
    const { io, client } = this.#parts;
    io.out(`\n    shop=> ${sql.replaceAll('\n', '\n           ')}\n`);
    const startedMs = performance.now();
    const result = await ask(client, sql);
    const ms = Math.round(performance.now() - startedMs);
    const table = alignRows([result.names, ...result.rows.map((row) => row.map((value) => value ?? 'NULL'))]);
    const text = result.names.length === 0 ? `${result.tag}, in ${ms} ms\n` : table;
    io.out(indented(text));
    return result;
  }

  /** Whether there is a token to approve statements with. */
  get mayApprove(): boolean {
    return Boolean(this.#parts.io.env['HOLDFAST_TOKEN']);
  }

  /** Runs a statement that policy may hold, and approves it as somebody else would from another terminal. */
  async showApproved(sql: string): Promise<void> {
    const { io, client, adminUrl } = this.#parts;
    const admin = new AdminClient(io.env['HOLDFAST_ADMIN_URL'] ? {} : { url: adminUrl }, io);
    const held = new Promise<string>((resolve) => {
      client.on('notice', ({ detail }) => {
        const id = /apr_[0-9a-z]{20}/.exec(detail ?? '')?.[0];
        if (id !== undefined) resolve(id);
      });
    });
    const running = this.show(sql);
    const id = await Promise.race([held, running.then(() => null)]);
    if (id !== null) {
      this.#command(`holdfast approvals approve ${id}`);
      await admin.post(`/v1/approvals/${id}/approve`, { comment: 'by the demo' });
    }
    await running;
  }

  /** Runs a statement past the gateway, unseen. */
  async quietly(sql: string): Promise<Result> {
    return await ask(this.#parts.direct, sql);
  }

  /** The snapshot that a statement has just left, or null where none is taken. */
  async snapshotOf(sql: string): Promise<string | null> {
    const { store } = this.#parts.opened;
    let looked = 0;
    for await (const { id, folder } of listSnapshots(store, allDays(Date.now()))) {
      const { statement, session } = await readManifest(store, folder);
      if (statement.text === sql && session.application === APPLICATION) return id;
      if (++looked === LOOKED_AT) break;
    }
    return null;
  }

  async list(): Promise<void> {
    this.#command('holdfast snapshots list -n 1');
    await listCommand({ ...this.#parts.options, limit: 1 }, this.#indenting());
  }

  /** Undoes as `holdfast undo` does, for everybody to see. */
  async undo(id: string): Promise<void> {
    const { options, directUrl } = this.#parts;
    this.#command(`holdfast undo ${id} --connection ${directUrl}`);
    const more = {
      connection: directUrl,
      onConflict: 'fail',
      triggers: 'fire',
      conflicts: 5,
      snapshot: true,
    } as const;
    const code = await undoCommand(id, { ...options, ...more }, userInfo().username, this.#indenting());
    if (code === 0) return;
    throw new HoldfastError('CONFLICT', 'the demo could not undo what it had done', {
      hint: `holdfast undo ${id} --connection ${directUrl} does it later.`,
    });
  }

  #command(line: string): void {
    this.#parts.io.out(`\n    $ ${line}\n`);
  }

  #indenting(): Io {
    const { io } = this.#parts;
    const out = (text: string) => io.out(indented(text));
    return { ...io, terminal: false, columns: null, ask: null, out, err: out };
  }
}

export const APPLICATION = 'holdfast demo';

const indented = (text: string): string => text.replace(/^(?=.)/gm, '    ');

/** Values as the server writes them. */
const AS_TEXT = { getTypeParser: () => (value: unknown) => value };

async function ask(client: pg.Client, text: string): Promise<Result> {
  const result = await client.query<(string | null)[]>({ text, rowMode: 'array', types: AS_TEXT });
  const tag = [result.command, result.rowCount ?? ''].join(' ').trim();
  return { tag, names: result.fields.map(({ name }) => printable(name)), rows: result.rows };
}
