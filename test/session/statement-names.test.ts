import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import * as fe from '../support/frontend-messages.ts';
import { prepared, ScriptedSession, server, undiscarded } from './scripted-session.ts';

describe('names', () => {
  it('a failed Parse is undone', () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('x', 'BAD'), fe.sync());
    s.answers(server.error('42601'), server.ready());
    expect(s.textOf('x')).toBeNull();
  });

  it('a failed unnamed Parse drops the old unnamed statement', () => {
    const s = prepared('', 'SELECT 1');
    expect(s.textOf('')).toBe('SELECT 1');
    s.sends(fe.parse('', 'BAD'), fe.sync());
    s.answers(server.error('42601'), server.ready());
    expect(s.textOf('')).toBeNull();
  });

  it('an unnamed Parse that was discarded leaves the old unnamed statement', () => {
    const s = prepared('', 'SELECT 1');
    s.sends(fe.describe('S', 'nobody'), fe.parse('', 'SELECT 2'), fe.sync());
    s.answers(server.error('26000'), server.ready());
    expect(s.textOf('')).toBe('SELECT 1');
  });

  it('a duplicate name keeps the old one', () => {
    const s = prepared('x', 'SELECT 1');
    s.sends(fe.parse('x', 'SELECT 2'), fe.sync());
    s.answers(server.error('42P05'), server.ready());
    expect(s.textOf('x')).toBe('SELECT 1');
  });

  it('two duplicates one after another keep the old one', () => {
    const s = prepared('x', 'DELETE FROM t');
    s.sends(fe.parse('x', 'SELECT 1'), fe.sync(), fe.parse('x', 'SELECT 2'), fe.sync());
    s.answers(server.error('42P05'), server.ready(), server.error('42P05'), server.ready());
    expect(s.textOf('x')).toBe('DELETE FROM t');
  });

  it('what a later segment made of a name outlives the undoing of an earlier one', () => {
    const s = prepared('', 'SELECT 1');
    s.sends(
      fe.describe('S', 'nobody'),
      fe.parse('', 'SELECT 2'),
      fe.sync(),
      fe.parse('', 'DELETE FROM t'),
      fe.sync(),
    );
    s.answers(server.error('26000'), server.ready(), server.parsed, server.ready());
    expect(s.textOf('')).toBe('DELETE FROM t');
  });

  it('a Bind in a later segment waits until the server has answered for the name', async () => {
    const s = prepared('x', 'DELETE FROM t');
    const sent = s.sends(
      fe.parse('x', 'SELECT 1'),
      fe.sync(),
      fe.bind({ statement: 'x' }),
      fe.execute(),
      fe.sync(),
    );
    expect(sent).toEqual(['Parse x SELECT 1', 'sync']);
    s.answers(server.error('42P05'), server.ready());
    await s.settle();
    expect(undiscarded(s.forwarded())).toEqual(['poison', 'sync']);
  });

  it('so does an EXECUTE in SQL', async () => {
    const s = prepared('x', 'DELETE FROM t');
    expect(s.sends(fe.query('PREPARE x AS SELECT 1'), fe.query('EXECUTE x'))).toEqual([
      'Query PREPARE x AS SELECT 1',
    ]);
    s.answers(server.error('42P05'), server.ready());
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
  });

  it('waiting for one name is not ended by a later change of another', async () => {
    const s = prepared('x', 'DELETE FROM t');
    const sent = s.sends(
      fe.parse('x', 'SELECT 1'),
      fe.sync(),
      fe.parse('', 'PREPARE z AS SELECT 1'),
      fe.bind(),
      fe.execute(),
      fe.bind({ statement: 'x' }),
      fe.execute(),
      fe.sync(),
    );
    s.answers(server.error('42P05'), server.ready());
    await s.settle();
    expect(undiscarded([...sent, ...s.forwarded()])).not.toContain('Bind  x');
  });

  it('within a segment nothing waits', () => {
    const s = new ScriptedSession();
    expect(s.sends(fe.parse('x', 'SELECT 1'), fe.bind({ statement: 'x' }), fe.execute())).toHaveLength(3);
  });

  it('Close drops a statement, and a portal of the same name stays', () => {
    const s = prepared('x', 'SELECT 1');
    s.sends(fe.bind({ portal: 'x', statement: 'x' }), fe.close('S', 'x'), fe.flush());
    s.answers(server.bound, server.closed);
    expect(s.textOf('x')).toBeNull();
    expect(s.state.portals.peek('x')).not.toBeNull();
    s.sends(fe.close('P', 'x'), fe.sync());
    s.answers(server.closed, server.ready());
    expect(s.state.portals.peek('x')).toBeNull();
  });

  it('with more text than is kept are refused, until others are closed', () => {
    const s = new ScriptedSession({ statementBytesMax: 1 << 27 });
    const text = `SELECT '${'x'.repeat(LIMITS.namedTextChars / 8 - 9)}'`;
    for (const name of 'abdefghi') {
      s.sends(fe.parse(name, text), fe.sync());
      s.answers(server.parsed, server.ready());
    }
    expect(s.textOf('a')).toBe(text);
    expect(s.sends(fe.parse('c', 'SELECT 1'), fe.sync())).toEqual(['poison', 'sync']);
    expect(s.answers(server.error('34000'), server.ready())).toEqual(['error 54000', 'ready I']);
    s.sends(fe.close('S', 'a'), fe.parse('c', 'SELECT 1'), fe.sync());
    s.answers(server.closed, server.error('54000'), server.ready());
    expect(s.sends(fe.parse('c', 'SELECT 1'), fe.sync())).toEqual(['Parse c SELECT 1', 'sync']);
  });

  it('a Close that was discarded closes nothing', () => {
    const s = prepared('x', 'SELECT 1');
    s.sends(fe.describe('S', 'nobody'), fe.close('S', 'x'), fe.sync());
    s.answers(server.error('26000'), server.ready());
    expect(s.textOf('x')).toBe('SELECT 1');
  });

  it('of portals end with their transaction', () => {
    const s = prepared('x', 'SELECT 1');
    s.sends(fe.bind({ portal: 'p', statement: 'x' }), fe.sync());
    s.answers(server.bound, server.ready('T'));
    expect(s.state.portals.size).toBe(1);
    s.sends(fe.query('SELECT 2'));
    s.answers(server.done('SELECT 1'), server.ready('I'));
    expect(s.state.portals.size).toBe(0);
  });

  it('SQL PREPARE and EXECUTE share them with Parse and Bind', () => {
    const s = new ScriptedSession();
    s.sends(fe.query('PREPARE x AS DELETE FROM t'));
    s.answers(server.done('PREPARE'), server.ready());
    expect(undiscarded(s.sends(fe.bind({ statement: 'x' }), fe.execute(), fe.sync()))).toEqual([
      'poison',
      'sync',
    ]);
    s.answers(server.error('34000'), server.ready());
    expect(s.sends(fe.query('EXECUTE x'))).toEqual(['poison query']);
  });

  it('of a multi-statement Query that fails at the second: the PREPARE of the first stands', () => {
    const s = new ScriptedSession();
    s.sends(fe.query('PREPARE x AS SELECT 1; FAIL; PREPARE y AS SELECT 2'));
    s.answers(server.done('PREPARE'), server.error('22012'), server.ready());
    expect(s.textOf('x')).toBe('prepared select');
    expect(s.textOf('y')).toBeNull();
    expect(s.services.audit.finished.map((event) => event.split(': ')[1])).toEqual([
      'completed',
      'failed 22012',
    ]);
  });

  it('DEALLOCATE and DISCARD ALL drop them, unless they fail', () => {
    const s = prepared('x', 'SELECT 1');
    s.sends(fe.query('DEALLOCATE x'));
    s.answers(server.error('25P02'), server.ready('E'));
    expect(s.textOf('x')).toBe('SELECT 1');
    s.sends(fe.query('DISCARD ALL'));
    s.answers(server.done('DISCARD ALL'), server.ready());
    expect(s.textOf('x')).toBeNull();
  });

  it('are cut at 63 bytes, as the server cuts them', () => {
    const long = 'n'.repeat(63);
    const s = prepared(`${long}a`, 'DELETE FROM t');
    expect(s.sends(fe.bind({ statement: `${long}b` }))).toEqual(['poison']);
  });

  it('of many PREPAREs in one text are each looked at once, however many there are', () => {
    const count = 1_000;
    const s = new ScriptedSession();
    s.sends(fe.query(Array.from({ length: count }, (_, i) => `PREPARE p${i} AS SELECT ${i}`).join('; ')));
    let looks = 0;
    const reply = s.state.replies.head!;
    reply.sqlNames = reply.sqlNames!.map(({ name, value, statementIndex }) => ({
      name,
      value,
      get statementIndex() {
        looks++;
        return statementIndex;
      },
    }));
    s.answers(...Array.from({ length: count }, () => server.done('PREPARE')), server.ready());
    expect(s.state.statements.size).toBe(count);
    expect(looks).toBeLessThan(5 * count);
  });
});
