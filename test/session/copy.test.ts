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

  it('that failed leaves a session that can be ended as any other that is idle', async () => {
    const s = failedAfterSync();
    s.session.drain();
    await s.settle();
    expect(s.told()).toEqual(['fatal 57P01']);
  });

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

  describe('that failed behind a Sync, which may have been swallowed,', () => {
    const question = ['sync', 'close portal asked', 'sync'];

    /** The client gives up, and goes on with a Query that the server discards or runs. */
    const inDoubt = () => {
      const s = prepared('x', 'SELECT 1');
      s.sends(fe.parse('', 'COPY'), fe.bind(), fe.execute(), fe.sync());
      s.answers(server.parsed, server.bound, server.copyIn);
      s.sends(fe.copyFail('no'));
      expect(s.answers(server.error('57014'))).toEqual(['error 57014']);
      expect(s.sends(fe.query('DELETE FROM t'), fe.parse('y', 'SELECT 2'), fe.sync())).toEqual(question);
      return s;
    };

    it('lets nothing pass before the server has told', async () => {
      const s = inDoubt();
      await s.settle();
      expect(s.forwarded()).toEqual([]);
      expect(s.told()).toEqual([]);
    });

    it('drops what the server discards, if it has swallowed the Sync', async () => {
      const s = inDoubt();
      expect(s.answers(server.ready(), server.closed, server.ready())).toEqual([]);
      await s.settle();
      expect(s.forwarded()).toEqual(['sync']);
      expect(s.answers(server.ready())).toEqual(['ready I']);
      expect(s.textOf('y')).toBeNull();
      goesOn(s);
    });

    it('goes on with what the server runs, if it has read the Sync', async () => {
      const s = inDoubt();
      expect(s.answers(server.ready(), server.ready(), server.closed, server.ready())).toEqual(['ready I']);
      await s.settle();
      expect(s.forwarded()).toEqual(['poison query', 'Parse y SELECT 2', 'sync']);
      expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 42501', 'ready I']);
      s.answers(server.parsed, server.ready());
      expect(s.textOf('y')).toBe('SELECT 2');
      goesOn(s);
    });

    it('asks nothing where a ReadyForQuery has come', () => {
      const s = new ScriptedSession();
      s.sends(fe.parse('', 'COPY'), fe.bind(), fe.execute(), fe.sync());
      s.answers(server.parsed, server.bound, server.copyIn, server.error('P0001'), server.ready());
      expect(s.sends(fe.query('SELECT 1'))).toEqual(['Query SELECT 1']);
    });

    it('refuses nothing for its length before it can be told', () => {
      const s = new ScriptedSession({ statementBytesMax: 100 });
      s.sends(fe.parse('', 'COPY'), fe.bind(), fe.execute(), fe.sync());
      s.answers(server.parsed, server.bound, server.copyIn);
      s.sends(fe.copyFail('no'));
      s.answers(server.error('57014'));
      expect(s.sends(fe.query(`SELECT ${'1'.repeat(200)}`).subarray(0, 100))).toEqual([]);
      expect(s.upstream.rest.toString('latin1', 0, 1)).toBe('Q');
    });

    it('is waited for behind the end of the data, and asked for with a Flush', async () => {
      const s = new ScriptedSession();
      const sent = s.sends(
        fe.parse('', 'COPY'),
        fe.bind(),
        fe.execute(),
        fe.sync(),
        fe.copyData('good'),
        fe.copyDone(),
        fe.parse('y', 'SELECT 2'),
        fe.sync(),
      );
      expect(sent.slice(-3)).toEqual(['copy-data', 'copy-done', 'flush']);
      s.answers(server.parsed, server.bound, server.copyIn);
      await s.settle();
      expect(s.forwarded()).toEqual([]);
      s.answers(server.done('COPY 1'));
      await s.settle();
      expect(s.forwarded()).toEqual(['Parse y SELECT 2', 'sync']);
      s.answers(server.parsed, server.ready());
      expect(s.owed).toBe(0);
    });

    it('is waited for behind data, until the server breaks off or has failed', async () => {
      const s = new ScriptedSession();
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
      expect(s.forwarded()).toEqual(question);
      s.answers(server.ready(), server.closed, server.ready());
      await s.settle();
      expect(s.forwarded()).toEqual(['sync']);
      s.answers(server.ready());
      goesOn(s);
    });
  });

  it('that failed is known to have swallowed the Sync when a function call is answered', () => {
    const s = failedAfterSync();
    s.sends(fe.sync(), fe.functionCall(2, []));
    s.answers(server.ready(), server.called, server.ready());
    goesOn(s);
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
