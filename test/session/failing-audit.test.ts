import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { ScriptedSession, server, undiscarded } from './scripted-session.ts';

describe('while the audit cannot be stored', () => {
  function failing(): ScriptedSession {
    const s = new ScriptedSession();
    s.services.audit.failing = true;
    return s;
  }

  it('reads go on', () => {
    const s = failing();
    expect(
      s.sends(fe.query('SELECT 1'), fe.parse('', 'SELECT 2'), fe.bind(), fe.execute(), fe.sync()),
    ).toEqual(['Query SELECT 1', 'Parse  SELECT 2', 'Bind  ', 'Execute ', 'sync']);
  });

  it('what changes something waits a little, and is refused', async () => {
    const s = failing();
    expect(s.sends(fe.query('INSERT 1'), fe.query('SELECT 1'))).toEqual([]);
    s.services.audit.working.resolve(false);
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query', 'Query SELECT 1']);
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 58030', 'ready I']);
    expect(s.services.audit.finished).toEqual(['INSERT 1: blocked 58030']);
  });

  it('what changes something is sent where the store works again in time', async () => {
    const s = failing();
    expect(undiscarded(s.sends(fe.parse('', 'INSERT 1'), fe.bind(), fe.execute(), fe.sync()))).toEqual([
      'Parse  INSERT 1',
    ]);
    s.services.audit.failing = false;
    s.services.audit.working.resolve(true);
    await s.settle();
    expect(s.forwarded()).toEqual(['Bind  ', 'Execute ', 'sync']);
  });

  it('a COMMIT of nothing that was not recorded goes on, and of what was not does not', async () => {
    const s = failing();
    expect(s.sends(fe.query('COMMIT'))).toEqual(['Query COMMIT']);
    s.answers(server.done('COMMIT'), server.ready());
    s.services.audit.recorded = false;
    s.services.audit.working.resolve(false);
    expect(s.sends(fe.query('COMMIT'))).toEqual([]);
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
  });

  it('reads and a BEGIN go on in a session of which something was refused, unless they commit what it has run', async () => {
    const s = new ScriptedSession();
    const { services } = s;
    services.recordsFirst = true;
    services.audit.recorded = false;
    for (const [sql, tag] of [
      ['SELECT 1', 'SELECT 1'],
      ['BEGIN', 'BEGIN'],
    ] as const) {
      expect(s.sends(fe.query(sql))).toEqual([`Query ${sql}`]);
      s.answers(server.done(tag), server.ready());
    }
    s.sends(fe.parse('', 'INSERT 1'), fe.bind(), fe.execute());
    expect(s.sends(fe.query('SELECT 2'))).toEqual([]);
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
  });

  it('a Sync that is refused leaves nothing that is to be recorded', async () => {
    const s = new ScriptedSession();
    const { services } = s;
    services.recordsFirst = true;
    services.audit.recorded = false;
    s.sends(fe.parse('', 'INSERT 1'), fe.bind(), fe.execute(), fe.sync());
    await s.settle();
    expect(services.audit.abandoned).toBe(1);
  });
});
