import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

/** The gateway's own words in the encoding of whoever reads them; most of them come from the policy. */
const POLICY = `
mode: protect
rules:
  - { name: Löschen, match: { operation: delete }, action: block, reason: "größer als 5 € ☃" }
  - { name: Ändern, match: { operation: update }, action: hold, reason: "größer als 5 € ☃" }
`;

let fixture: DecisionFixture;
beforeAll(async () => {
  fixture = await DecisionFixture.start(POLICY);
});
afterAll(async () => {
  await fixture?.stop();
});

/** The message as bytes, one character each. */
const bytesOf = (messages: readonly BackendMessage[], type: string): string =>
  messages.find((message) => message.type === type)!.body.toString('latin1');

describe.each<[string, string]>([
  ['UTF8', Buffer.from('"Löschen": größer als 5 € ☃').toString('latin1')],
  ['LATIN1', '"L\xf6schen": gr\xf6\xdfer als 5 ? ?'],
  ['WIN1252', '"L\xf6schen": gr\xf6\xdfer als 5 \x80 ?'],
  // The server sends such a client its own bytes, so we do too.
  ['SQL_ASCII', Buffer.from('"Löschen": größer als 5 € ☃').toString('latin1')],
  ['SJIS', '"L?schen": gr??er als 5 ? ?'],
])('a client that reads %s', (encoding, words) => {
  it('reads in it why a statement is refused or held', async () => {
    const client = await fixture.client({ client_encoding: encoding });
    expect(bytesOf(await client.query('delete from precious'), 'E')).toContain(words);
    client.write(fe.query('update precious set note = null'));
    const expected = words.replace(/L(.+)schen/, (_, umlaut: string) =>
      umlaut === '?' ? '?ndern' : `${umlaut.length === 1 ? '\xc4' : '\xc3\x84'}ndern`,
    );
    expect(bytesOf(await client.until('N'), 'N')).toContain(expected);
    client.destroy();
  });

  it('reads so as well when it has said so later', async () => {
    const client = await fixture.client({ client_encoding: 'UTF8' });
    await client.query(`set client_encoding = ${encoding}`);
    expect(bytesOf(await client.query('delete from precious'), 'E')).toContain(words);
    await client.terminate();
  });
});

describe('ASCII alone is written', () => {
  it('while the encoding may be about to change', async () => {
    const client = await fixture.client();
    client.write(
      ...[fe.parse('', "set client_encoding = 'LATIN1'"), fe.bind(), fe.execute()],
      ...[fe.parse('', 'delete from precious'), fe.bind(), fe.execute(), fe.sync()],
    );
    expect(bytesOf(await client.untilReady(), 'E')).toContain('gr??er als 5 ? ?');
    await client.terminate();
  });

  it('before the client is let in, whatever it says it reads', async () => {
    const client = await RawClient.connect(fixture.gateway.port);
    client.write(fe.startup({ user: 'postgres', options: '-größe', client_encoding: 'UTF8' }));
    expect(bytesOf(await client.untilEnd(), 'E')).toContain('the startup parameter "-gr??e" is not allowed');
    client.destroy();
  });
});
