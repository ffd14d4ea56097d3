import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { prepared, ScriptedSession, server } from './scripted-session.ts';

describe('COPY', () => {
  const copying = () => {
    const s = new ScriptedSession();
    s.sends(fe.query('COPY t FROM STDIN'));
    s.answers(server.copyIn);
    return s;
  };

  it('by a Query takes data until CopyDone', () => {
    const s = copying();
    expect(s.sends(fe.copyData('1\n'), fe.copyData('2\n'), fe.copyDone())).toEqual([
      'copy-data',
      'copy-data',
      'copy-done',
    ]);
    s.answers(server.done('COPY 2'), server.ready());
    expect(s.owed).toBe(0);
    expect(s.services.audit.finished).toEqual(['COPY t FROM STDIN: completed']);
  });

  it('swallows a Sync before CopyDone', () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'COPY'), fe.bind(), fe.execute(), fe.sync());
    s.answers(server.parsed, server.bound, server.copyIn);
    s.sends(fe.copyData('1\n'), fe.copyDone(), fe.sync());
    s.answers(server.done('COPY 1'), server.ready());
    expect(s.owed).toBe(0);
  });

  it('swallows a Sync that was sent together with all the rest', () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'COPY'), fe.bind(), fe.execute(), fe.sync(), fe.copyDone(), fe.sync());
    s.answers(server.parsed, server.bound, server.copyIn, server.done('COPY 0'), server.ready());
    expect(s.owed).toBe(0);
  });

  it('twice in one Query swallows the Syncs in both', () => {
    const s = new ScriptedSession();
    s.sends(fe.query('COPY a; COPY b'));
    s.answers(server.copyIn);
    s.sends(fe.sync(), fe.copyDone());
    s.answers(server.done('COPY 0'), server.copyIn);
    s.sends(fe.sync(), fe.copyDone());
    s.answers(server.done('COPY 0'), server.ready());
    s.sends(fe.query('SELECT 1'));
    s.answers(server.done('SELECT 1'), server.ready());
    expect(s.owed).toBe(0);
    expect(s.services.audit.finished.at(-1)).toBe('SELECT 1: completed');
  });

  it('that failed ignores a late CopyDone', () => {
    const s = copying();
    s.sends(fe.copyData('bad'));
    s.answers(server.error('22P04'), server.ready());
    expect(s.sends(fe.copyData('more'), fe.copyDone(), fe.query('SELECT 1'))).toEqual([
      'copy-data',
      'copy-done',
      'Query SELECT 1',
    ]);
    s.answers(server.done('SELECT 1'), server.ready());
    expect(s.owed).toBe(0);
  });

  /** libpq sends Sync with the Execute, before it knows that it is a COPY, and again after CopyDone. */
  const failedAfterSync = () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'COPY'), fe.bind(), fe.execute(), fe.sync());
    s.answers(server.parsed, server.bound, server.copyIn);
    s.sends(fe.copyData('bad'));
    expect(s.answers(server.error('22P04'))).toEqual(['error 22P04']);
    s.sends(fe.copyDone(), fe.sync());
    expect(s.answers(server.ready())).toEqual(['ready I']);
    return s;
  };
  const goesOn = (s: ScriptedSession) => {
    for (let i = 0; i < 2; i++) {
      s.sends(fe.parse('', 'SELECT 1'), fe.bind(), fe.execute(), fe.sync());
      s.answers(server.parsed, server.bound, server.done('SELECT 1'), server.ready());
      expect(s.owed).toBe(0);
    }
    expect(s.services.audit.finished.slice(-2)).toEqual(['SELECT 1: completed', 'SELECT 1: completed']);
  };

  it('that failed after a swallowed Sync goes on in step', () => goesOn(failedAfterSync()));

  it('and in step behind a Sync alone', () => {
    const s = failedAfterSync();
    s.sends(fe.sync());
    s.answers(server.ready());
    goesOn(s);
  });

  it('that failed before the server read the Sync goes on in step', () => {
    const s = failedAfterSync();
    s.answers(server.ready());
    goesOn(s);
  });

  it('that failed after several Syncs goes on in step behind several more', () => {
    const s = new ScriptedSession();
    s.sends(
      fe.query('COPY t FROM STDIN'),
      fe.sync(),
      fe.sync(),
      fe.sync(),
      fe.copyFail('no'),
      fe.sync(),
      fe.sync(),
    );
    s.answers(server.copyIn, server.error('57014'), server.ready(), server.ready(), server.ready());
    goesOn(s);
  });

  it('that failed in doubt lets nothing pass that could be answered or not', async () => {
    const s = prepared('x', 'DELETE FROM t');
    s.sends(
      fe.parse('', 'COPY'),
      fe.bind(),
      fe.execute(),
      fe.sync(),
      fe.copyData('bad'),
      fe.parse('x', 'SELECT 1'),
      fe.sync(),
    );
    s.answers(server.parsed, server.bound, server.copyIn, server.error('22P04'));
    await s.settle();
    expect(s.told()).toEqual(['fatal 08P01']);
    expect(s.upstream.socket.destroyed).toBe(true);
  });

  it('does not swallow a Sync behind other messages', () => {
    const s = prepared('y', 'SELECT 1');
    s.sends(
      fe.query('COPY t FROM STDIN'),
      fe.copyData('bad'),
      fe.parse('', 'DEFER'),
      fe.bind(),
      fe.execute(),
      fe.sync(),
      fe.close('S', 'y'),
      fe.parse('y', 'DELETE FROM t'),
      fe.flush(),
    );
    s.answers(server.copyIn, server.error('22P04'), server.ready());
    s.answers(server.parsed, server.bound, server.done('INSERT 0 1'), server.error('23505'), server.ready());
    s.answers(server.closed, server.parsed);
    expect(s.textOf('y')).toBe('DELETE FROM t');
    expect(s.sends(fe.query('DELETE FROM u'))).toEqual(['poison query']);
  });

  it('is the only thing that may be spoken of while it lasts', async () => {
    const s = prepared('x', 'DELETE FROM t');
    s.sends(fe.query('COPY t FROM STDIN'));
    s.answers(server.copyIn);
    const sent = s.sends(
      fe.copyData('bad'),
      fe.parse('x', 'SELECT 1'),
      fe.sync(),
      fe.bind({ statement: 'x' }),
      fe.execute(),
      fe.sync(),
    );
    await s.settle();
    expect([...sent, ...s.forwarded()]).not.toContain('Bind  x');
  });
});
