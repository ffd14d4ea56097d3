import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { prepared, ScriptedSession, server } from './scripted-session.ts';

describe('replies', () => {
  it('of a simple Query are forwarded, and nothing is owed after ReadyForQuery', () => {
    const s = new ScriptedSession();
    expect(s.sends(fe.query('SELECT 1'))).toEqual(['Query SELECT 1']);
    expect(s.owed).toBe(1);
    expect(s.answers(server.rows, server.row, server.done('SELECT 1'), server.ready())).toEqual([
      'row-description',
      'data-row',
      'SELECT 1',
      'ready I',
    ]);
    expect(s.owed).toBe(0);
    expect(s.services.audit.finished).toEqual(['SELECT 1: completed']);
  });

  it('of a pipeline are matched one by one', () => {
    const s = new ScriptedSession();
    const sent = s.sends(
      fe.parse('x', 'SELECT 1'),
      fe.describe('S', 'x'),
      fe.bind({ statement: 'x', portal: 'p' }),
      fe.describe('P', 'p'),
      fe.execute('p', 1),
      fe.execute('p'),
      fe.close('P', 'p'),
      fe.sync(),
    );
    expect(sent).toEqual([
      'Parse x SELECT 1',
      'describe statement x',
      'Bind p x',
      'describe portal p',
      'Execute p',
      'Execute p',
      'close portal p',
      'sync',
    ]);
    for (const [reply, owed] of [
      [server.parsed, 7],
      [server.parameters, 7],
      [server.rows, 6],
      [server.bound, 5],
      [server.rows, 4],
      [server.row, 4],
      [server.suspended, 3],
      [server.done('SELECT 0'), 2],
      [server.closed, 1],
      [server.ready(), 0],
    ] as const) {
      s.answers(reply);
      expect(s.owed).toBe(owed);
    }
    expect(s.services.audit.finished).toEqual(['SELECT 1: suspended', 'SELECT 1: completed']);
  });

  it('to Flush come without a ReadyForQuery', () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'SELECT 1'), fe.describe('S'), fe.flush());
    expect(s.answers(server.parsed, server.parameters, server.rows)).toHaveLength(3);
    expect(s.owed).toBe(0);
    s.sends(fe.bind(), fe.execute(), fe.sync());
    s.answers(server.bound, server.done('SELECT 1'), server.ready());
    expect(s.owed).toBe(0);
  });

  it('may stand between asynchronous messages', () => {
    const s = new ScriptedSession();
    s.sends(fe.query('SET TimeZone = UTC'));
    expect(s.answers(server.done('SET'), server.setting('TimeZone', 'UTC'), server.ready())).toEqual([
      'SET',
      'TimeZone=UTC',
      'ready I',
    ]);
    expect(s.state.parameters.get('TimeZone')).toBe('UTC');
  });

  it('tell the transaction status', () => {
    const s = new ScriptedSession();
    for (const status of ['T', 'E', 'I'] as const) {
      s.sends(fe.query('SELECT 1'));
      s.answers(server.done('SELECT 1'), server.ready(status));
      expect(s.state.transactionStatus).toBe(status);
    }
  });

  it('to an empty Query and an empty Execute end them', () => {
    const s = new ScriptedSession();
    s.sends(fe.query(''), fe.parse('', ''), fe.bind(), fe.execute(), fe.sync());
    s.answers(server.empty, server.ready(), server.parsed, server.bound, server.empty, server.ready());
    expect(s.owed).toBe(0);
    expect(s.services.audit.begun).toEqual([]);
  });

  it('to a malformed Query, Parse, Bind, Execute or Close are owed as well', () => {
    const s = new ScriptedSession();
    s.sends(fe.message('Q', Buffer.from('SELECT 1')));
    s.answers(server.error('08P01'), server.ready());
    for (const type of ['P', 'B', 'E', 'C']) {
      expect(s.sends(fe.message(type, Buffer.from('no NUL')), fe.sync())).toEqual([
        `invalid ${type}`,
        'sync',
      ]);
      s.answers(server.error('08P01'), server.ready());
      expect(s.owed).toBe(0);
    }
  });
});

describe('an error', () => {
  it('discards up to Sync', () => {
    const s = new ScriptedSession();
    s.sends(
      fe.parse('', 'FAIL'),
      fe.bind(),
      fe.execute(),
      fe.parse('y', 'SELECT 2'),
      fe.bind({ statement: 'y' }),
      fe.execute(),
      fe.sync(),
    );
    expect(s.answers(server.parsed, server.bound, server.error('22012'))).toEqual([
      'parse-complete',
      'bind-complete',
      'error 22012',
    ]);
    expect(s.owed).toBe(1);
    s.answers(server.ready());
    expect(s.owed).toBe(0);
    expect(s.textOf('y')).toBeNull();
    expect(s.services.audit.finished).toEqual(['FAIL: failed 22012', 'SELECT 2: not-run']);
  });

  it('discards a Query inside the failed segment, which is answered by nothing', () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'BAD'), fe.query('SELECT 1'), fe.sync());
    s.answers(server.error('42601'), server.ready());
    expect(s.owed).toBe(0);
    expect(s.services.audit.finished).toEqual(['SELECT 1: not-run']);
  });

  it('discards what is sent after it and before the Sync', () => {
    const s = prepared('x', 'DELETE FROM t');
    s.sends(fe.parse('', 'BAD'), fe.flush());
    s.answers(server.error('42601'));
    s.sends(fe.parse('x', 'SELECT 1'), fe.query('SELECT 2'), fe.sync());
    expect(s.answers(server.ready())).toEqual(['ready I']);
    expect(s.owed).toBe(0);
    expect(s.textOf('x')).toBe('DELETE FROM t');
  });

  it('of a Query ends with its own ReadyForQuery', () => {
    const s = new ScriptedSession();
    s.sends(fe.query('FAIL'), fe.query('SELECT 1'));
    s.answers(server.error('22012'), server.ready());
    expect(s.owed).toBe(1);
    s.answers(server.done('SELECT 1'), server.ready());
    expect(s.services.audit.finished).toEqual(['FAIL: failed 22012', 'SELECT 1: completed']);
  });

  it('of the commit at Sync discards nothing behind it', () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'DEFER'), fe.bind(), fe.execute(), fe.sync(), fe.parse('y', 'SELECT 1'), fe.sync());
    s.answers(server.parsed, server.bound, server.done('INSERT 0 1'), server.error('23505'), server.ready());
    expect(s.owed).toBe(2);
    s.answers(server.parsed, server.ready());
    expect(s.owed).toBe(0);
    expect(s.textOf('y')).toBe('SELECT 1');
  });

  it('that is FATAL is the last that the client is told', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('SELECT 1'));
    expect(s.answers(server.error('57P01', 'FATAL'))).toEqual(['fatal 57P01']);
    s.upstream.close();
    await s.settle();
    expect(s.told()).toEqual([]);
    expect(s.client.ended).toBe(true);
  });
});
