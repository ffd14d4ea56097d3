import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';

/** `müller` and `møller` in LATIN1, which is not UTF-8. PostgreSQL takes the names in a startup as mere bytes. */
const MUELLER = Buffer.from('müller', 'latin1');
const MOELLER = Buffer.from('møller', 'latin1');
const DATABASE = Buffer.from('bücher', 'latin1');

/** Rules can name such a role as the audit writes it; a role that only looks like it is another one. */
const POLICY = `
mode: protect
rules:
  - name: not him
    match: { role: ["m\ufffdfcller"] }
    action: block
    reason: He may look at nothing.
`;

type Pairs = readonly (readonly [name: fe.Text, value: fe.Text])[];

const startupOf = (pairs: Pairs): Buffer =>
  fe.startupPacket(
    Buffer.concat([
      fe.int32(fe.PROTOCOL_3_0),
      ...pairs.flatMap(([name, value]) => [fe.cstring(name), fe.cstring(value)]),
      Buffer.of(0),
    ]),
  );

async function connect(port: number, pairs: Pairs): Promise<RawClient> {
  const client = await RawClient.connect(port);
  client.write(startupOf(pairs));
  return client;
}

const quoted = (before: string, name: Buffer, after = ''): Buffer =>
  Buffer.concat([Buffer.from(`${before}"`), name, Buffer.from(`"${after}`)]);

describe.each([18, 15] as const)('names that are not UTF-8, PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    gateway = await startGateway({ upstreamPort: postgres.port, policy: POLICY });
    await postgres.sql('create database bytes encoding SQL_ASCII template template0');
    const client = await connect(postgres.port, [
      ['user', 'postgres'],
      ['database', 'bytes'],
    ]);
    await client.untilReady();
    for (const text of [
      quoted('create role ', MUELLER, ' login'),
      quoted('create role ', MOELLER, ' login'),
      quoted('create database ', DATABASE, ' encoding SQL_ASCII template template0'),
    ]) {
      expect(errorsOf(await client.query(text))).toEqual([]);
    }
    await client.terminate();
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  /** What the session is to the server, as bytes. */
  async function whoAmI(port: number, role: Buffer): Promise<string> {
    const client = await connect(port, [
      ['user', role],
      ['database', DATABASE],
      ['application_name', MUELLER],
      ['options', Buffer.from('-c my.own=Ärger\\ im\xa0Büro', 'latin1')],
    ]);
    await client.untilReady();
    const sql =
      "select current_user, current_database(), current_setting('application_name'), current_setting('my.own')";
    const messages = await client.query(sql);
    await client.terminate();
    expect(errorsOf(messages)).toEqual([]);
    return messages.find((message) => message.type === 'D')!.body.toString('latin1');
  }

  it('reach the server as they are', async () => {
    const through = await whoAmI(gateway.port, MOELLER);
    expect(through).toBe(await whoAmI(postgres.port, MOELLER));
    for (const part of ['møller', 'bücher', 'Ärger im\xa0Büro']) expect(through).toContain(part);
  });

  it('that the server does not have are refused in its own words', async () => {
    const refusal = async (port: number): Promise<string> => {
      const client = await connect(port, [['user', Buffer.from('ÿ', 'latin1')]]);
      const messages = await client.untilEnd();
      client.destroy();
      return messages.find((message) => message.type === 'E')!.body.toString('latin1');
    };
    expect(await refusal(gateway.port)).toBe(await refusal(postgres.port));
    expect(await refusal(gateway.port)).toContain('"ÿ"');
  });

  it('are told apart by policy, and are in the audit as a rule can name them', async () => {
    const messagesOf = async (role: Buffer) => {
      const client = await connect(gateway.port, [
        ['user', role],
        ['database', DATABASE],
      ]);
      await client.untilReady();
      const messages = await client.query('select 1');
      await client.terminate();
      return errorsOf(messages).map((fields) => fields['C']);
    };
    expect(await messagesOf(MOELLER)).toEqual([]);
    expect(await messagesOf(MUELLER)).toEqual(['42501']);
    const query = new URLSearchParams({ role: 'm\ufffdfcller' });
    const { body } = await gateway.http(`/v1/audit?${query}`);
    expect(body).toMatchObject({
      items: [{ role: 'm\ufffdfcller', database: 'b\ufffdfccher', action: 'block', rule: 'not him' }],
    });
  });

  it('stand in the list of options that are not understood as they came', async () => {
    const negotiated = async (port: number): Promise<string> => {
      const client = await connect(port, [
        ['user', 'postgres'],
        [Buffer.from('_pq_.ü', 'latin1'), 'x'],
      ]);
      const message = (await client.untilReady()).find(({ type }) => type === 'v');
      await client.terminate();
      return message!.body.toString('latin1');
    };
    expect(await negotiated(gateway.port)).toBe(await negotiated(postgres.port));
  });
});
