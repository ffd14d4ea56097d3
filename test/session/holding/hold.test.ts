import { describe, expect, it } from 'vitest';
import type { PreviewSink } from '../../../src/preview/results.ts';
import { Turns } from '../../../src/preview/turns.ts';
import type { PreviewServices } from '../../../src/session/services.ts';
import * as fe from '../../support/frontend-messages.ts';
import { ScriptedSession, server } from '../scripted-session.ts';

describe('a hold', () => {
  const held = async (...behind: Buffer[]) => {
    const s = new ScriptedSession();
    expect(s.sends(fe.query('SELECT 1'), fe.query('UPDATE t'), ...behind)).toEqual(['Query SELECT 1']);
    await s.settle();
    return s;
  };

  it('forwards nothing until it is approved, and the bytes in order afterwards', async () => {
    const s = await held(fe.query('SELECT 2'));
    expect(s.told()).toEqual(['notice statement held for approval']);
    expect(s.sends(fe.query('SELECT 3'))).toEqual([]);
    s.services.approvals.asked[0]!.settle({ kind: 'approved', by: 'ops', comment: null });
    await s.settle();
    expect(s.forwarded()).toEqual(['Query UPDATE t', 'Query SELECT 2', 'Query SELECT 3']);
    expect(s.services.audit.begun.map((entry) => entry.approvalId)).toEqual([null, 'a_1', null, null]);
  });

  it('goes on once what its approvers were shown is kept', async () => {
    const s = new ScriptedSession();
    const kept = Promise.withResolvers<void>();
    const asked: string[] = [];
    const results: PreviewSink = {
      begin: (id) => asked.push(`begin ${id}`),
      offer: () => () => {},
      finish: (id) => {
        asked.push(`finish ${id}`);
        return kept.promise;
      },
    };
    const sources = null as unknown as PreviewServices['sources'];
    s.services.previews = { sources, results, turns: new Turns(1, 1) };
    expect(s.sends(fe.query('SELECT 1'), fe.query('UPDATE t'))).toEqual(['Query SELECT 1']);
    await s.settle();
    s.services.approvals.asked[0]!.settle({ kind: 'approved', by: 'ops', comment: null });
    await s.settle();
    expect(asked).toEqual(['begin a_1', 'finish a_1']);
    expect(s.forwarded()).toEqual([]);
    kept.resolve();
    await s.settle();
    expect(s.forwarded()).toEqual(['Query UPDATE t']);
  });

  it('that is denied refuses the statement alone', async () => {
    const s = await held(fe.query('SELECT 2'));
    s.services.approvals.asked[0]!.settle({ kind: 'denied', by: 'ops', comment: 'no' });
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query', 'Query SELECT 2']);
    s.answers(server.done('SELECT 1'), server.ready());
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 42501', 'ready I']);
  });

  it('that is cancelled leaves no trace at the server, and reads as 57014', async () => {
    const s = await held();
    s.answers(server.done('SELECT 1'), server.ready());
    expect(s.session.cancel()).toBe(true);
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 57014', 'ready I']);
    expect(s.session.cancel()).toBe(false);
  });

  it('that is cancelled while its approval is being stored does not run', async () => {
    const s = await held();
    s.services.approvals.isDeciding = true;
    expect(s.session.cancel()).toBe(true);
    s.services.approvals.asked[0]!.settle({ kind: 'approved', by: 'ops', comment: null });
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
    s.answers(server.done('SELECT 1'), server.ready());
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 57014', 'ready I']);
  });

  it('that nobody answers in time reads as 57014', async () => {
    const s = await held();
    s.services.approvals.asked[0]!.settle({ kind: 'timeout' });
    await s.settle();
    s.answers(server.done('SELECT 1'), server.ready());
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 57014', 'ready I']);
  });

  it('that cannot be recorded lets nothing through', async () => {
    const s = new ScriptedSession();
    s.services.approvals.failure = new Error('disk full');
    s.sends(fe.query('UPDATE t'));
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 58030', 'ready I']);
  });

  it('ends when the client goes, and nothing of it is forwarded', async () => {
    const s = await held();
    s.client.handler.onEnd();
    await s.settle();
    expect(s.forwarded()).not.toContain('Query UPDATE t');
    expect(s.upstream.ended).toBe(true);
  });

  it('of a Bind happens once for all its Executes', async () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'UPDATE t'), fe.bind(), fe.execute(), fe.execute(), fe.sync());
    await s.settle();
    expect(s.services.approvals.asked).toHaveLength(1);
    s.services.approvals.asked[0]!.settle({ kind: 'approved', by: 'ops', comment: null });
    await s.settle();
    expect(s.forwarded()).toEqual(['Bind  ', 'Execute ', 'Execute ', 'sync']);
  });

  it('puts its notice never inside a message', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('SELECT 1'));
    const row = server.row;
    s.upstream.receive(row.subarray(0, 7));
    s.sends(fe.query('UPDATE t'));
    await s.settle();
    expect(s.told()).toEqual([]);
    expect(s.client.rest).toEqual(row.subarray(0, 7));
    s.upstream.receive(Buffer.concat([row.subarray(7), server.done('SELECT 1')]));
    expect(s.told()).toEqual(['data-row', 'SELECT 1', 'notice statement held for approval']);
  });

  it('waits for an analysis in the same way', async () => {
    const s = new ScriptedSession();
    expect(s.sends(fe.query('SELECT later'), fe.query('SELECT 2'))).toEqual([]);
    s.services.late.shift()!();
    await s.settle();
    expect(s.forwarded()).toEqual(['Query SELECT later', 'Query SELECT 2']);
  });
});
