import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { ScriptedSession, server } from './scripted-session.ts';

describe('backpressure', () => {
  it('a server that takes no more stops the client, and its drain starts it again', () => {
    const s = new ScriptedSession();
    s.upstream.writable = false;
    s.sends(fe.query('SELECT 1'));
    expect(s.client.paused).toBe(true);
    s.upstream.writable = true;
    s.upstream.handler.onDrain();
    expect(s.client.paused).toBe(false);
  });

  it('a client that takes no more stops the server, and its drain starts it again', () => {
    const s = new ScriptedSession();
    s.client.writable = false;
    s.sends(fe.query('SELECT 1'));
    s.answers(server.row);
    expect(s.upstream.paused).toBe(true);
    s.client.writable = true;
    s.client.handler.onDrain();
    expect(s.upstream.paused).toBe(false);
  });

  it('a held client that sends single bytes is read no further before they fill the memory', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('UPDATE t SET a = 1'));
    await s.settle();
    for (let i = 0; i < 5_000; i++) s.client.receive(Buffer.of(0x51));
    expect(s.client.paused).toBe(true);
  });

  it('a held client is read up to a limit, and goes on after', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('UPDATE t'));
    await s.settle();
    s.client.receive(fe.query('SELECT 1'));
    expect(s.client.paused).toBe(false);
    for (let i = 0; i < 40; i++) s.client.receive(fe.query('x'.repeat(30_000)));
    expect(s.client.paused).toBe(true);
    s.services.approvals.asked[0]!.settle({ kind: 'approved', by: 'ops', comment: null });
    await s.settle();
    expect(s.forwarded()).toHaveLength(42);
    expect(s.client.paused).toBe(false);
  });
});

describe('shutting down', () => {
  it('waits for what is under way, and then says so', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('SELECT 1'));
    s.session.drain();
    expect(s.client.ended).toBe(false);
    s.answers(server.done('SELECT 1'), server.ready('T'));
    await s.settle();
    expect(s.client.ended).toBe(false);
    s.sends(fe.query('COMMIT'));
    s.answers(server.done('COMMIT'), server.ready());
    await s.settle();
    expect(s.told()).toEqual(['fatal 57P01']);
    expect(s.forwarded()).toEqual(['terminate']);
  });

  it('does not wait for a COPY that is over', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('COPY t FROM STDIN'));
    s.answers(server.copyIn);
    s.sends(fe.copyDone());
    s.answers(server.done('COPY 0'), server.ready());
    s.session.drain();
    await s.settle();
    expect(s.told()).toEqual(['fatal 57P01']);
  });

  it('of the server is told once, with what is not known', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('SELECT 1'));
    s.upstream.close();
    await s.settle();
    expect(s.told()).toEqual(['fatal 08006']);
    s.client.close();
    await s.settle();
    expect(s.ended).toBe(true);
    expect(s.services.audit.finished).toEqual(['SELECT 1: lost']);
  });

  it.each(['begin', 'finish'] as const)('comes of a fault in "%s", for that session alone', async (step) => {
    const s = new ScriptedSession();
    s.sends(fe.query('SELECT 1'));
    const { audit } = s.services;
    const works = audit[step].bind(audit);
    audit[step] = () => {
      audit[step] = works;
      throw new Error('a fault of our own');
    };
    if (step === 'begin') expect(s.sends(fe.query('SELECT 2'))).toEqual([]);
    else s.answers(server.done('SELECT 1'), server.ready());
    await s.settle();
    expect(s.ended).toBe(true);
    expect(audit.finished[0]).toBe(step === 'begin' ? 'SELECT 1: lost' : 'SELECT 1: completed');
  });

  it('waits for what is still under way of a hold, so that it is recorded before a stop closes the audit', async () => {
    const s = new ScriptedSession();
    s.services.approvals.isDeciding = true;
    s.sends(fe.query('UPDATE t'));
    await s.settle();
    s.session.kill();
    await s.settle();
    expect(s.ended).toBe(false);
    s.services.approvals.asked[0]!.settle({ kind: 'approved', by: 'ops', comment: null });
    await s.settle();
    expect(s.ended).toBe(true);
    expect(s.services.audit.finished).toEqual(['UPDATE t: not-run']);
  });

  it('of the server, once it has said why, leaves what the client sends unread', async () => {
    const s = new ScriptedSession();
    s.answers(server.error('57P01', 'FATAL'));
    expect(s.sends(fe.query('INSERT'))).toEqual([]);
    expect(s.services.audit.begun).toEqual([]);
  });

  it('of the server leaves nothing to be decided of what the client still sends', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('UPDATE t'), fe.query('UPDATE u'));
    await s.settle();
    s.upstream.close();
    s.client.receive(fe.query('UPDATE v'));
    await s.settle();
    s.services.approvals.asked[0]!.settle({ kind: 'disconnected' });
    await s.settle();
    s.client.receive(Buffer.concat([fe.parse('', 'UPDATE w'), fe.bind(), fe.execute(), fe.sync()]));
    s.client.close();
    await s.settle();
    expect(s.ended).toBe(true);
    expect(s.services.approvals.asked).toHaveLength(1);
    expect(s.services.audit.finished).toEqual(['UPDATE t: not-run']);
    expect(s.services.audit.begun).toEqual([]);
  });
});
