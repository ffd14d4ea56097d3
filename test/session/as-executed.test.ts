import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import * as fe from '../support/frontend-messages.ts';
import { prepared, ScriptedSession, server } from './scripted-session.ts';

/** What was decided of a statement, and what is executed by its name, are one and the same. */

const EVIL = 'SET search_path = evil, pg_catalog';

/** The server does as it is told by a Query. */
function ran(
  s: ScriptedSession,
  text: string,
  tag: string,
  status: 'I' | 'T' = 'I',
  ...told: Buffer[]
): void {
  expect(s.sends(fe.query(text))).toEqual([`Query ${text}`]);
  s.answers(server.done(tag), ...told, server.ready(status));
}

describe('an Execute', () => {
  it('of an EXECUTE is decided again where the name stands for another statement by then', () => {
    const s = prepared('x', 'SELECT 1');
    const sent = s.sends(
      fe.parse('', 'EXECUTE x'),
      fe.bind({ portal: 'p' }),
      fe.close('S', 'x'),
      fe.parse('x', 'DELETE FROM t'),
      fe.execute('p'),
      fe.sync(),
    );
    expect(sent).toEqual([
      'Parse  EXECUTE x',
      'Bind p ',
      'close statement x',
      'Parse x DELETE FROM t',
      'poison',
      'sync',
    ]);
  });

  it('of an EXECUTE runs where the name stands for the same', () => {
    const s = prepared('x', 'SELECT 1');
    const sent = s.sends(fe.parse('', 'EXECUTE x'), fe.bind({ portal: 'p' }), fe.execute('p'), fe.sync());
    expect(sent.slice(-2)).toEqual(['Execute p', 'sync']);
  });

  it('waits until it is known which portal has its name', async () => {
    const s = new ScriptedSession();
    ran(s, 'BEGIN', 'BEGIN', 'T');
    s.sends(fe.parse('a', 'PREPARE x AS SELECT 1'), fe.parse('b', 'PREPARE x AS DELETE 1'));
    s.sends(fe.bind({ portal: 'p', statement: 'a' }), fe.sync());
    s.answers(server.parsed, server.parsed, server.bound, server.ready('T'));
    s.sends(fe.close('P', 'p'), fe.bind({ portal: 'p', statement: 'b' }), fe.sync());
    expect(s.sends(fe.execute('p'), fe.sync())).toEqual([]);
    s.answers(server.closed, server.bound, server.ready('T'));
    await s.settle();
    expect(s.forwarded()).toEqual(['Execute p', 'sync']);
    s.answers(server.done('PREPARE'), server.ready('T'));
    expect(s.textOf('x')).toBe('prepared delete');
  });

  it('that reads a cursor instead of the portal it was bound as changes no name', () => {
    const s = prepared('x', 'DELETE FROM t');
    s.sends(fe.parse('', 'PREPARE x AS SELECT 1'), fe.bind({ portal: 'p' }), fe.execute('p'), fe.sync());
    s.answers(server.parsed, server.bound, server.row, server.done('SELECT 1'), server.ready());
    expect(s.textOf('x')).toBe('DELETE FROM t');
  });

  it('of what is looked up when it is executed is decided again behind another search_path', () => {
    const s = prepared('y', EVIL);
    const sent = s.sends(
      fe.parse('', 'EXPLAIN f'),
      fe.bind({ portal: 'p' }),
      fe.bind({ portal: 'q', statement: 'y' }),
      fe.execute('q'),
      fe.execute('p'),
      fe.sync(),
    );
    expect(sent.slice(-3)).toEqual(['Execute q', 'poison', 'sync']);
  });

  it('of what was planned at Bind is not', () => {
    const s = prepared('y', EVIL);
    const sent = s.sends(
      fe.parse('', 'SELECT f'),
      fe.bind({ portal: 'p' }),
      fe.bind({ portal: 'q', statement: 'y' }),
      fe.execute('q'),
      fe.execute('p'),
      fe.sync(),
    );
    expect(sent.slice(-3)).toEqual(['Execute q', 'Execute p', 'sync']);
  });
});

describe('EXECUTE', () => {
  it('does to names what the statement does that it runs', () => {
    const s = prepared('d', 'DEALLOCATE x');
    ran(s, 'PREPARE x AS SELECT 1', 'PREPARE');
    s.sends(fe.parse('p', 'PREPARE x AS DELETE 1'), fe.sync());
    s.answers(server.parsed, server.ready());
    ran(s, 'EXECUTE d', 'DEALLOCATE');
    expect(s.textOf('x')).toBeNull();
    ran(s, 'EXECUTE p', 'PREPARE');
    expect(s.sends(fe.query('EXECUTE x'))).toEqual(['poison query']);
  });

  it('does to settings what the statement does that it runs', () => {
    const s = prepared('o', 'SET standard_conforming_strings = off');
    expect(s.sends(fe.query('EXECUTE o'), fe.query('QUOTE 1'))).toEqual(['Query EXECUTE o', 'poison query']);
  });

  it.each([
    ['behind the SET', [EVIL, 'EXECUTE x']],
    ['in one text with the SET', [`${EVIL}; EXECUTE x`]],
    ['in one text with its PREPARE', [`PREPARE z AS SELECT f; ${EVIL}; EXECUTE z`]],
    ['and what follows an EXECUTE of the SET', ['EXECUTE y; SELECT f']],
  ])('of what calls a function is refused in a search_path that may replace it, %s', (_, texts) => {
    const s = prepared('x', 'SELECT f');
    s.sends(fe.parse('y', EVIL), fe.sync());
    s.answers(server.parsed, server.ready());
    expect(s.sends(...texts.map((text) => fe.query(text))).at(-1)).toBe('poison query');
  });
});

describe('more PREPAREs than can be remembered', () => {
  it('are refused where they are executed', { timeout: 120_000 }, () => {
    const s = new ScriptedSession({ statementBytesMax: 1 << 24 });
    const names = Array.from({ length: LIMITS.namesMax + 1 }, (_, i) => `n${i}`);
    s.sends(fe.query(names.map((name) => `PREPARE ${name} AS SELECT 1`).join(';')));
    s.answers(...names.map(() => server.done('PREPARE')), server.ready());
    expect(s.sends(fe.query('EXECUTE n0'), fe.query(`EXECUTE ${names.at(-1)}`))).toEqual([
      'Query EXECUTE n0',
      'poison query',
    ]);
  });
});

describe('a text', () => {
  const readable = (s: ScriptedSession) => s.sends(fe.query('QUOTE 1'))[0] === 'Query QUOTE 1';

  it.each(['DISCARD ALL', 'RESET ALL', 'SET standard_conforming_strings = on'])(
    'behind %s is not readable before the server has told how it reads',
    (text) => {
      const s = new ScriptedSession();
      s.sends(fe.query(text));
      expect(readable(s)).toBe(false);
    },
  );

  /** In a transaction, strings are read as the client has set them. */
  const inTransaction = () => {
    const s = new ScriptedSession({ parameters: { standard_conforming_strings: 'off' } });
    ran(s, 'BEGIN', 'BEGIN', 'T');
    const on = server.setting('standard_conforming_strings', 'on');
    ran(s, 'SET standard_conforming_strings = on', 'SET', 'T', on);
    return s;
  };

  it('is readable by a setting of the transaction while nothing is under way', () => {
    expect(readable(inTransaction())).toBe(true);
  });

  it.each(['ROLLBACK', 'FAIL', 'SELECT 1'])('is not while %s may take the setting back', (text) => {
    const s = inTransaction();
    s.sends(fe.query(text));
    expect(readable(s)).toBe(false);
  });

  it('is not while the segment is open in which the setting was taken back', () => {
    const s = inTransaction();
    s.sends(fe.parse('', 'ROLLBACK'), fe.bind(), fe.execute(), fe.flush());
    s.answers(server.parsed, server.bound, server.done('ROLLBACK'));
    const sent = s.sends(fe.parse('', 'QUOTE 1'), fe.bind(), fe.execute(), fe.sync());
    expect(sent).toEqual(['Parse  QUOTE 1', 'poison', 'sync']);
  });

  it('that was parsed while the server told another reading is parsed again', async () => {
    const s = new ScriptedSession();
    s.sends(fe.query('SELECT my_function()'), fe.query('QUOTE later'));
    const off = server.setting('standard_conforming_strings', 'off');
    s.answers(server.done('SELECT 1'), off, server.ready());
    for (const go of s.services.late.splice(0)) go();
    await s.settle();
    for (const go of s.services.late.splice(0)) go();
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
  });

  it('is readable again when the transaction is over', () => {
    const s = inTransaction();
    ran(s, 'COMMIT', 'COMMIT');
    s.sends(fe.query('SELECT 1'));
    expect(readable(s)).toBe(true);
  });
});

describe('a search_path', () => {
  const isTrusted = (s: ScriptedSession) => s.state.textFacts.catalogFirst;

  it('is trusted again behind a plain SET', () => {
    const s = new ScriptedSession();
    ran(s, EVIL, 'SET');
    expect(isTrusted(s)).toBe(false);
    ran(s, 'SET search_path = public', 'SET');
    expect(isTrusted(s)).toBe(true);
  });

  it('is not where another was sent before the server had answered', () => {
    const s = new ScriptedSession();
    ran(s, EVIL, 'SET');
    s.sends(fe.query('SET search_path = public'), fe.query(EVIL));
    s.answers(server.done('SET'), server.ready());
    expect(isTrusted(s)).toBe(false);
  });

  it('is in a transaction once it has been told, and not behind its end, which may take it back', () => {
    const s = new ScriptedSession({ parameters: { search_path: 'public' } });
    ran(s, EVIL, 'SET', 'I', server.setting('search_path', 'evil, pg_catalog'));
    ran(s, 'BEGIN', 'BEGIN', 'T');
    ran(s, 'SET search_path = public', 'SET', 'T', server.setting('search_path', 'public'));
    expect(isTrusted(s)).toBe(true);
    s.sends(fe.query('ROLLBACK'));
    expect(isTrusted(s)).toBe(false);
    s.answers(server.done('ROLLBACK'), server.setting('search_path', 'evil, pg_catalog'), server.ready());
    expect(isTrusted(s)).toBe(false);
  });

  it('is not behind a RESET to one that could not be trusted', () => {
    const s = new ScriptedSession({ parameters: { search_path: 'evil, pg_catalog' } });
    ran(s, 'SET search_path = public', 'SET', 'I', server.setting('search_path', 'public'));
    expect(isTrusted(s)).toBe(true);
    s.sends(fe.query('RESET search_path'));
    expect(isTrusted(s)).toBe(false);
    s.answers(server.done('RESET'), server.setting('search_path', 'evil, pg_catalog'), server.ready());
    expect(isTrusted(s)).toBe(false);
  });
});

describe('a name that is not ASCII', () => {
  const UTF8 = Buffer.from('é');
  const LATIN1 = Buffer.from('é', 'latin1');
  const parse = (name: Buffer, text: string) =>
    fe.message('P', name, Buffer.of(0), fe.cstring(text), Buffer.of(0, 0));
  const close = (name: Buffer) => fe.message('C', Buffer.from('S'), name, Buffer.of(0));
  const bind = (name: Buffer) => fe.message('B', Buffer.of(0), name, Buffer.of(0, 0, 0, 0, 0, 0, 0));

  it('is the same in UTF8 and LATIN1', () => {
    const s = new ScriptedSession();
    s.sends(parse(UTF8, 'SELECT 1'), fe.sync());
    s.answers(server.parsed, server.ready());
    ran(s, 'SET client_encoding = LATIN1', 'SET', 'I', server.setting('client_encoding', 'LATIN1'));
    s.sends(close(LATIN1), parse(LATIN1, 'DELETE 1'), fe.sync());
    s.answers(server.closed, server.parsed, server.ready());
    ran(s, 'SET client_encoding = UTF8', 'SET', 'I', server.setting('client_encoding', 'UTF8'));
    expect(s.sends(bind(UTF8), fe.execute(), fe.sync())[0]).toBe('poison');
  });

  it.each([
    ['an encoding that is not read', { client_encoding: 'WIN1252' }],
    ['a database that is not UTF-8', { server_encoding: 'EUC_JP' }],
  ])('is refused with %s', (_, parameters) => {
    const s = new ScriptedSession({ parameters });
    for (const message of [parse(UTF8, 'SELECT 1'), bind(UTF8), close(UTF8)]) {
      expect(s.sends(message, fe.sync())[0]).toBe('poison');
      expect(s.answers(server.error('34000'), server.ready())).toEqual(['error 42501', 'ready I']);
    }
  });

  it('is let pass where policy lets pass what it does not know', () => {
    const s = new ScriptedSession({ mode: 'monitor', parameters: { client_encoding: 'WIN1252' } });
    expect(s.sends(parse(UTF8, 'SELECT 1'))).toHaveLength(1);
    expect(s.forwarded()).toEqual([]);
  });
});
