import type { BlobStore } from '../../src/blobs/blob-store.ts';
import type { TestGateway } from '../support/gateway.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import type { SentSetting } from './sent.ts';

/** Whatever has an exact plan is captured, and the rest runs without. */
export const SENT_POLICY = `
mode: protect
without_plan: allow
rules:
  - { name: what changes, match: { operation: [update, delete, merge, truncate, upsert] }, action: snapshot }
  - { name: the rest, action: allow }
`;

export async function settingOf(
  postgres: TestPostgres,
  gateway: TestGateway,
  store: BlobStore,
): Promise<SentSetting> {
  const databases = ['sent_direct', 'sent_through'] as const;
  for (const database of databases) await postgres.sql(`create database ${database}`);
  const controls = await Promise.all(
    databases.map((database) => RawClient.open(postgres.port, { database, application_name: 'control' })),
  );
  return {
    direct: { port: postgres.port, control: controls[0]! },
    through: { port: gateway.port, control: controls[1]! },
    databases,
    store,
    ranWithout: (application, sinceMs) => ranWithout(gateway, application, sinceMs),
  };
}

async function ranWithout(gateway: TestGateway, application: string, sinceMs: number): Promise<boolean> {
  // Records are written in batches.
  await new Promise((resolve) => setTimeout(resolve, 250));
  const { body } = await gateway.http(`/v1/audit?limit=500`);
  const { items } = body as { items: Record<string, unknown>[] };
  return items.some(
    (event) =>
      JSON.stringify(event).includes(application) &&
      Date.parse(String(event['time'])) >= sinceMs - 5 &&
      /^none: (?!it changed no row)/.test(String(event['snapshot'])),
  );
}
