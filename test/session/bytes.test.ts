import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { prepared, ScriptedSession, server } from './scripted-session.ts';

describe('bytes', () => {
  const pipeline = [
    fe.parse('x', 'SELECT 1'),
    fe.bind({ statement: 'x', parameters: ['a', null, 'ccc'] }),
    fe.execute(),
    fe.sync(),
    fe.query('DELETE FROM t'),
    fe.query('COPY t FROM STDIN'),
    fe.copyData('1\n2\n'),
    fe.copyDone(),
  ];
  const replies = [
    server.parsed,
    server.bound,
    server.row,
    server.done('SELECT 1'),
    server.ready(),
    server.error('42601'),
    server.ready(),
    server.copyIn,
    server.done('COPY 2'),
    server.ready(),
  ];

  it('split anywhere are decided and forwarded the same', async () => {
    const whole = new ScriptedSession();
    const expectedSent = whole.sends(...pipeline);
    const expectedTold = whole.answers(...replies);
    expect(expectedSent).toHaveLength(pipeline.length);
    const fromClient = Buffer.concat(pipeline);
    const fromServer = Buffer.concat(replies);
    for (let at = 1; at < Math.max(fromClient.length, fromServer.length); at++) {
      const s = new ScriptedSession();
      for (const part of [fromClient.subarray(0, at), fromClient.subarray(at)]) s.client.receive(part);
      await s.settle();
      expect(s.forwarded()).toEqual(expectedSent);
      for (const part of [fromServer.subarray(0, at), fromServer.subarray(at)]) s.upstream.receive(part);
      expect(s.told()).toEqual(expectedTold);
      expect(s.owed).toBe(0);
    }
  });

  it('one at a time are decided and forwarded the same', async () => {
    const s = new ScriptedSession();
    for (const byte of Buffer.concat(pipeline)) s.client.receive(Buffer.from([byte]));
    await s.settle();
    expect(s.forwarded()).toHaveLength(pipeline.length);
    for (const byte of Buffer.concat(replies)) s.upstream.receive(Buffer.from([byte]));
    expect(s.told()).toHaveLength(replies.length);
    expect(s.upstream.rest).toHaveLength(0);
  });

  it('of a Bind of 1 MB stream through after its names', () => {
    const s = prepared('x', 'SELECT 1');
    const bind = fe.bind({ statement: 'x', parameters: [Buffer.alloc(1 << 20, 'v')] });
    const third = Math.floor(bind.length / 3);
    s.client.receive(bind.subarray(0, third));
    const early = s.upstream.rest.length;
    expect(early).toBeGreaterThan(third - 10);
    s.client.receive(bind.subarray(third, 2 * third));
    s.client.receive(bind.subarray(2 * third));
    expect(s.forwarded()).toEqual(['Bind  x']);
  });

  it('of a refused Bind of 1 MB are dropped', () => {
    const s = prepared('x', 'DELETE FROM t');
    const bind = fe.bind({ statement: 'x', parameters: [Buffer.alloc(1 << 20, 'v')] });
    for (let at = 0; at < bind.length; at += 30_000) s.client.receive(bind.subarray(at, at + 30_000));
    expect(s.sends(fe.sync())).toEqual(['poison', 'sync']);
    expect(s.upstream.rest).toHaveLength(0);
  });

  it('of CopyData pass by as they come', () => {
    const s = new ScriptedSession();
    const data = fe.copyData(Buffer.alloc(100_000, 'x'));
    s.client.receive(data.subarray(0, 50_000));
    expect(s.upstream.rest).toHaveLength(50_000);
    s.client.receive(data.subarray(50_000));
    expect(s.forwarded()).toEqual(['copy-data']);
  });

  it('of a statement above the limit are dropped, and it is refused', () => {
    const s = new ScriptedSession({ statementBytesMax: 1_000 });
    const query = fe.query(`SELECT '${'x'.repeat(5_000)}'`);
    for (let at = 0; at < query.length; at += 600) s.client.receive(query.subarray(at, at + 600));
    expect(s.forwarded()).toEqual(['poison query']);
    expect(s.sends(fe.query('SELECT 1'))).toEqual(['Query SELECT 1']);
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 54000', 'ready I']);
  });

  it.each([
    ['a length of 3', fe.messageClaiming('Q', 3)],
    ['a negative length', fe.messageClaiming('Q', -1)],
    ['a Sync of 10,001', fe.messageClaiming('S', 10_001)],
    ['a type that there is not', fe.messageClaiming('y', 4)],
    ['a password', fe.messageClaiming('p', 9)],
  ])('of a header with %s go bare to the server, and the session ends', (_what, header) => {
    const s = new ScriptedSession();
    expect(s.sends(fe.query('SELECT 1'), header, fe.query('DELETE FROM t'))).toEqual(['Query SELECT 1']);
    expect(s.upstream.rest).toEqual(header);
    expect(s.sends(fe.query('SELECT 2'))).toEqual([]);
    expect(s.upstream.rest).toEqual(header);
    expect(s.services.metrics.protocolErrors).toBe(1);
  });

  it('behind Terminate are never forwarded', async () => {
    const s = new ScriptedSession();
    expect(s.sends(fe.query('SELECT 1'), fe.terminate(), fe.query('SELECT 2'))).toEqual([
      'Query SELECT 1',
      'terminate',
    ]);
    await s.settle();
    expect(s.upstream.ended).toBe(true);
    expect(s.answers(server.done('SELECT 1'), server.ready())).toEqual(['SELECT 1', 'ready I']);
  });

  it('of a server that breaks the protocol end the session', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('SELECT 1'));
    s.upstream.receive(Buffer.from('y\0\0\0\x04'));
    await s.settle();
    expect(s.upstream.socket.destroyed).toBe(true);
    expect(s.told()).toEqual(['fatal 08006']);
    expect(s.services.audit.finished).toEqual(['SELECT 1: lost']);
  });
});
