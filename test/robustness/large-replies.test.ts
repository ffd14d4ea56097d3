import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';

/** Above what the gateway reads of a message of the server's at all. */
const CHARS = 17_000_000;
const fails = (chars: number) => `do $$ begin raise exception '%', repeat('x', ${chars}); end $$`;
const POLICY = `
mode: protect
rules:
  - { name: never, match: { operation: [truncate] }, action: block }
  - { name: what goes, match: { operation: [delete] }, action: snapshot }
  - { name: the rest, action: allow }
`;

describe('a large reply', () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.sql(`create table precious (id int primary key); insert into precious values (1);
      create function complains(chars int) returns bool language plpgsql stable as
        $$ begin raise exception '%', repeat('x', chars); end $$`);
    const folder = await scratchFolder('large-replies');
    gateway = await startGateway({
      upstreamPort: postgres.port,
      policy: POLICY,
      environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on', HOLDFAST_SNAPSHOTS: `file:${folder}` },
    });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it.each([
    ['an error', fails(CHARS)],
    ['an error that just fits', fails(16_000)],
    ['a notice', fails(CHARS).replace('exception', 'notice')],
    ['a setting that is told', `set search_path = '${'x'.repeat(900_000)}'`],
  ])('that is %s comes as directly, and the session goes on', async (_, sql) => {
    const said: Buffer[] = [];
    for (const port of [postgres.port, gateway.port]) {
      const client = await RawClient.open(port);
      const messages = await client.query(sql);
      said.push(Buffer.concat(messages.map(({ type, body }) => Buffer.concat([Buffer.from(type), body]))));
      expect(await client.rows('select 42')).toEqual([['42']]);
      await client.terminate();
    }
    expect(said[0]!.equals(said[1]!)).toBe(true);
  });

  it('in the middle of others leaves a refusal behind it the one that it is', async () => {
    const client = await RawClient.open(gateway.port);
    client.write(fe.query(fails(CHARS)), fe.query('truncate precious'), fe.query('select 42'));
    const first = await client.untilReady();
    expect(first.map(({ type }) => type).join('')).toBe('EZ');
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    expect((await client.untilReady()).map(({ type }) => type).join('')).toBe('TDCZ');
    await client.terminate();
  });

  it.each([CHARS, 20_000])('of %i bytes to a query of the gateway is told to the client', async (chars) => {
    const client = await RawClient.open(gateway.port);
    const messages = await client.query(`delete from precious where complains(${chars})`);
    expect(messages.map(({ type }) => type).join('')).toBe('EZ');
    expect(errorsOf(messages)[0]).toMatchObject({ S: 'ERROR' });
    expect(await client.rows('select count(*) from precious')).toEqual([['1']]);
    await client.terminate();
  });
});
