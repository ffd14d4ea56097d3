import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { ScriptedSession, server, undiscarded } from './scripted-session.ts';

describe('a refusal', () => {
  it('of a Query reads as 42501 and leaves the connection usable', () => {
    const s = new ScriptedSession();
    expect(s.sends(fe.query('DELETE FROM t'))).toEqual(['poison query']);
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 42501', 'ready I']);
    expect(s.sends(fe.query('SELECT 1'))).toEqual(['Query SELECT 1']);
    s.answers(server.done('SELECT 1'), server.ready());
    expect(s.services.audit.finished).toEqual(['DELETE FROM t: blocked 42501', 'SELECT 1: completed']);
  });

  it('of one statement refuses the whole Query', () => {
    expect(new ScriptedSession().sends(fe.query('SELECT 1; DELETE FROM t'))).toEqual(['poison query']);
  });

  it('of a Bind reads as 42501, and the rest of its segment is discarded', () => {
    const s = new ScriptedSession();
    const sent = s.sends(
      fe.parse('', 'DELETE FROM t'),
      fe.bind(),
      fe.describe('P'),
      fe.execute(),
      fe.query('DELETE FROM u'),
      fe.sync(),
    );
    expect(undiscarded(sent)).toEqual(['Parse  DELETE FROM t', 'poison', 'sync']);
    expect(s.answers(server.parsed, server.error('34000'), server.ready())).toEqual([
      'parse-complete',
      'error 42501',
      'ready I',
    ]);
    expect(s.owed).toBe(0);
  });

  it('is not left to the server where it discards', () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'BAD'), fe.flush());
    s.answers(server.error('42601'));
    expect(s.sends(fe.query('DELETE FROM t'))).toEqual([]);
  });

  it('behind an error of the server is skipped with the rest', () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('x', 'BAD'), fe.parse('', 'DELETE FROM t'), fe.bind(), fe.execute(), fe.sync());
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 42601', 'ready I']);
    expect(s.owed).toBe(0);
    expect(s.services.audit.finished).toEqual(['DELETE FROM t: not-run']);
  });

  it('does not take an error of another kind for its own', () => {
    const s = new ScriptedSession();
    s.sends(fe.query('DELETE FROM t'));
    expect(s.answers(server.error('57014'), server.ready())).toEqual(['error 57014', 'ready I']);
  });

  it('of a FunctionCall is one Query for one', () => {
    const s = new ScriptedSession();
    expect(s.sends(fe.functionCall(1, []))).toEqual(['poison query']);
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error 42501', 'ready I']);
  });

  it('of a statement that the gateway has not seen tells whether the server knows it', () => {
    for (const [reply, told] of [
      [[server.error('26000')], ['error 26000']],
      [[server.parameters, server.rows, server.error('34000')], ['error 42501']],
    ] as const) {
      const s = new ScriptedSession();
      expect(undiscarded(s.sends(fe.bind({ statement: 'hidden' }), fe.execute(), fe.sync()))).toEqual([
        'describe statement hidden',
        'poison',
        'sync',
      ]);
      expect(s.answers(...reply, server.ready())).toEqual([...told, 'ready I']);
      expect(s.owed).toBe(0);
    }
  });

  it('is what a fault of the analyzer comes to', () => {
    const s = new ScriptedSession();
    expect(s.sends(fe.query('SELECT faulty'))).toEqual(['poison query']);
    expect(s.answers(server.error('42601'), server.ready())).toEqual(['error XX000', 'ready I']);
  });
});
