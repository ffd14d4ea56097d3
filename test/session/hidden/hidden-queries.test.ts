import { describe, expect, it } from 'vitest';
import { HiddenQueryError, type HiddenResult } from '../../../src/catalog/connection.ts';
import { HiddenQueryEnded } from '../../../src/session/hidden/hidden-exchange.ts';
import { plainQuery } from '../../../src/snapshot/capture.ts';
import { encodeBackendMessage } from '../../../src/wire/backend-message.ts';
import * as fe from '../../support/frontend-messages.ts';
import { ScriptedSession, server } from '../scripted-session.ts';

const SENT = ['Parse hidden SELECT 7', 'Bind hidden hidden', 'Execute hidden'];
const CLOSED = ['close portal hidden', 'close statement hidden'];
const END = [server.closed, server.closed];
const row = (text: string) => encodeBackendMessage({ kind: 'data-row', values: [Buffer.from(text)] });
const notice = encodeBackendMessage({ kind: 'notice-response', fields: { S: 'NOTICE', M: 'of a trigger' } });
const notification = encodeBackendMessage({
  kind: 'notification-response',
  processId: 1,
  channel: 'c',
  payload: '',
});

/** What has come of a hidden query so far. */
interface Asked {
  readonly rows: string[];
  result: HiddenResult | null;
  error: unknown;
}

function ask(
  s: ScriptedSession,
  end: 'flush' | 'sync',
  sql = 'SELECT 7',
  onRow?: (row: Buffer) => void | Promise<void>,
): Asked {
  const asked: Asked = { rows: [], result: null, error: null };
  const take = (body: Buffer) => {
    asked.rows.push(body.toString('utf8', 6));
    body.fill(0);
    return onRow?.(body);
  };
  s.session['frontendMessages'].hidden
    .ending(end)
    .run(plainQuery(sql), take)
    .then(
      (result) => {
        asked.result = result;
      },
      (error: unknown) => {
        asked.error = error;
      },
    );
  return asked;
}

/** A session whose client waits with an UPDATE. */
async function waiting(...ahead: Buffer[]): Promise<ScriptedSession> {
  const s = new ScriptedSession();
  s.sends(...ahead, fe.query('UPDATE t'));
  await s.settle();
  s.told();
  return s;
}

const approve = async (s: ScriptedSession) => {
  s.services.approvals.asked[0]!.settle({ kind: 'approved', by: 'ops', comment: null });
  await s.settle();
  return s.forwarded();
};

describe('a hidden query between segments', () => {
  it('has its rows, and the client sees nothing of it', async () => {
    const s = await waiting();
    const asked = ask(s, 'sync');
    expect(s.forwarded()).toEqual([...SENT, ...CLOSED, 'sync']);
    const told = s.answers(
      server.parsed,
      server.bound,
      row('a'),
      notice,
      row('b'),
      server.done('SELECT 2'),
      ...END,
      server.ready('T'),
    );
    expect(told).toEqual([]);
    await s.settle();
    expect(asked).toEqual({ rows: ['a', 'b'], result: { tag: 'SELECT 2' }, error: null });
    expect(s.state.transactionStatus).toBe('T');
    expect(s.owed).toBe(0);
    expect(await approve(s)).toEqual(['Query UPDATE t']);
    expect(s.answers(server.done('UPDATE 1'), server.ready('T'))).toEqual(['UPDATE 1', 'ready T']);
  });

  it('is answered behind what the client is still owed', async () => {
    const s = await waiting(fe.query('SELECT 1'));
    s.forwarded();
    const asked = ask(s, 'sync');
    expect(s.answers(server.rows, server.row, server.done('SELECT 1'), server.ready())).toEqual([
      'row-description',
      'data-row',
      'SELECT 1',
      'ready I',
    ]);
    expect(s.answers(server.parsed, server.bound, row('a'), server.done('SELECT 1'))).toEqual([]);
    expect(s.answers(...END, server.ready())).toEqual([]);
    await s.settle();
    expect(asked.rows).toEqual(['a']);
  });

  it('lets settings and notifications pass', async () => {
    const s = await waiting();
    ask(s, 'sync');
    expect(s.answers(server.parsed, notification, server.setting('TimeZone', 'UTC'), server.bound)).toEqual([
      'notification-response',
      'TimeZone=UTC',
    ]);
    expect(s.state.parameters.get('TimeZone')).toBe('UTC');
  });

  it('is read whatever pieces its answer comes in', async () => {
    const s = await waiting();
    const asked = ask(s, 'sync');
    const answer = Buffer.concat([
      server.parsed,
      server.bound,
      row('long '.repeat(50)),
      notice,
      row('b'),
      server.setting('TimeZone', 'UTC'),
      server.done('SELECT 2'),
      ...END,
      server.ready('T'),
    ]);
    for (let at = 0; at < answer.length; at++) s.upstream.receive(answer.subarray(at, at + 1));
    await s.settle();
    expect(s.told()).toEqual(['TimeZone=UTC']);
    expect(asked.rows).toEqual(['long '.repeat(50), 'b']);
    expect(asked.result?.tag).toBe('SELECT 2');
    expect(s.client.rest).toHaveLength(0);
  });

  it('that fails is over with its ReadyForQuery, and the statement that it may have left is closed', async () => {
    const s = await waiting();
    const asked = ask(s, 'sync');
    const behind = ask(s, 'sync');
    s.forwarded();
    expect(s.answers(server.parsed, server.error('42P01'))).toEqual([]);
    await s.settle();
    expect(asked.error).toBeNull();
    expect(s.answers(server.ready('E'))).toEqual([]);
    expect(s.answers(server.error('25P02'), server.ready('E'))).toEqual([]);
    await s.settle();
    expect(asked.error).toBeInstanceOf(HiddenQueryError);
    expect(behind.error).toMatchObject({ sqlstate: '25P02' });
    const next = ask(s, 'sync', 'ROLLBACK');
    expect(s.forwarded().slice(0, 3)).toEqual([
      'close statement hidden',
      'close statement hidden',
      'Parse hidden ROLLBACK',
    ]);
    s.answers(server.closed, server.closed, server.parsed, server.bound, server.noData);
    s.answers(server.done('ROLLBACK'), ...END, server.ready());
    await s.settle();
    expect(next.result?.tag).toBe('ROLLBACK');
    expect(s.owed).toBe(0);
  });

  it('whose rows are taken slowly stops the server, and goes on in order', async () => {
    const s = await waiting();
    const gates: (() => void)[] = [];
    const asked = ask(s, 'sync', 'SELECT 7', () => new Promise<void>((resolve) => gates.push(resolve)));
    s.answers(server.parsed, server.bound, row('a'), row('b'), row('c'), server.done('SELECT 3'));
    expect(asked.rows).toEqual(['a']);
    expect(s.upstream.paused).toBe(true);
    s.answers(...END, server.ready());
    for (const rows of [
      ['a', 'b'],
      ['a', 'b', 'c'],
    ]) {
      gates.shift()!();
      await s.settle();
      expect(asked.rows).toEqual(rows);
      expect(s.upstream.paused).toBe(true);
    }
    gates.shift()!();
    await s.settle();
    expect(s.upstream.paused).toBe(false);
    expect(asked.result?.tag).toBe('SELECT 3');
    expect(s.told()).toEqual([]);
  });

  it('whose rows nobody can take fails, and all the rest of it is dropped', async () => {
    const s = await waiting();
    const asked = ask(s, 'sync', 'SELECT 7', () => {
      throw new Error('the disk is full');
    });
    s.answers(server.parsed, server.bound, row('a'), row('b'), server.done('SELECT 2'));
    await s.settle();
    expect(asked.error).toMatchObject({ message: 'the disk is full' });
    expect(asked.rows).toEqual(['a']);
    expect(s.owed).toBe(1);
    expect(s.answers(...END, server.ready('T'))).toEqual([]);
    expect(s.owed).toBe(0);
  });

  it('ends for whoever asked when it is given up, and for the server when it has answered', async () => {
    const s = await waiting();
    const asked = ask(s, 'sync');
    s.answers(server.parsed, server.bound, row('a'));
    s.session['frontendMessages'].hidden.giveUp();
    await s.settle();
    expect(asked.error).toMatchObject({ why: 'given up' });
    s.answers(row('b'), server.done('SELECT 2'), ...END, server.ready());
    expect(asked.rows).toEqual(['a']);
    expect(s.told()).not.toContain('data-row');
  });

  it('is lost where the server ends the session, whatever it had done before', async () => {
    const s = await waiting();
    const asked = ask(s, 'sync', 'COMMIT');
    s.answers(server.parsed, server.bound, server.done('COMMIT'));
    s.answers(server.error('57P01', 'FATAL'));
    s.upstream.close();
    await s.settle();
    expect(asked.error).toBeInstanceOf(HiddenQueryEnded);
  });

  it('is read no further than its rows are taken, also when its client has gone, unless it is given up', async () => {
    const s = await waiting();
    const asked = ask(s, 'sync', 'SELECT 7', () => new Promise<void>(() => {}));
    s.answers(server.parsed, server.bound, row('1'));
    expect(s.upstream.paused).toBe(true);
    s.client.close();
    await s.settle();
    expect(s.upstream.paused).toBe(true);
    s.session['frontendMessages'].hidden.giveUp();
    await s.settle();
    expect(s.upstream.paused).toBe(false);
    s.answers(row('2'), server.done('SELECT 2'), ...END, server.ready());
    await s.settle();
    expect(asked.rows).toEqual(['1']);
    expect(asked.error).toBeInstanceOf(HiddenQueryEnded);
  });

  it('ends when the server goes, which the client is told once', async () => {
    const s = await waiting();
    const asked = ask(s, 'sync');
    expect(s.answers(server.parsed, server.error('57P01', 'FATAL'))).toEqual(['fatal 57P01']);
    s.upstream.close();
    await s.settle();
    expect(asked.error).toBeInstanceOf(HiddenQueryEnded);
    const late = ask(s, 'sync');
    await s.settle();
    expect(late.error).toBeInstanceOf(HiddenQueryEnded);
    expect(s.told()).toEqual([]);
    expect(s.client.ended).toBe(true);
  });

  it('is never sent where its Sync would end a segment of the client', async () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'SELECT 1'), fe.flush());
    const asked = ask(s, 'sync');
    await s.settle();
    expect(String(asked.error)).toContain('assertion failed');
    expect(s.forwarded()).toEqual([]);
  });
});

describe('hidden queries that are sent at once', () => {
  const ASKED = [...SENT, ...CLOSED];

  /** In a transaction, unless told. */
  async function gathering(status: 'I' | 'T' = 'T'): Promise<ScriptedSession> {
    const s = await waiting();
    s.state.transactionStatus = status;
    s.upstream.gathers = true;
    return s;
  }
  const forwarded = async (s: ScriptedSession) => {
    await s.settle();
    return s.forwarded();
  };
  const answer = (text: string) => [server.parsed, server.bound, row(text), server.done('SELECT 1'), ...END];

  it('have one Sync in a transaction', async () => {
    const s = await gathering();
    const asked = [ask(s, 'sync'), ask(s, 'sync'), ask(s, 'sync')];
    expect(await forwarded(s)).toEqual([...ASKED, ...ASKED, ...ASKED, 'sync']);
    expect(s.answers(...answer('a'), ...answer('b'))).toEqual([]);
    await s.settle();
    expect(asked.map(({ result }) => result?.tag)).toEqual(['SELECT 1', 'SELECT 1', undefined]);
    s.answers(...answer('c'), server.ready('T'));
    await s.settle();
    expect(asked.map(({ rows }) => rows)).toEqual([['a'], ['b'], ['c']]);
    expect(asked[2]!.result?.tag).toBe('SELECT 1');
    expect(s.owed).toBe(0);
  });

  it('fail with the first of them that fails, as the transaction does', async () => {
    const s = await gathering();
    const asked = [ask(s, 'sync'), ask(s, 'sync'), ask(s, 'sync'), ask(s, 'sync', 'ROLLBACK')];
    const sent = await forwarded(s);
    expect(sent.filter((each) => each === 'sync')).toHaveLength(2);
    s.answers(...answer('a'), server.parsed, server.error('42P01'));
    await s.settle();
    expect(asked[1]!.error).toBeNull();
    s.answers(server.ready('E'));
    await s.settle();
    expect(asked.map(({ error }) => (error as HiddenQueryError | null)?.sqlstate)).toEqual([
      undefined,
      '42P01',
      '25P02',
      undefined,
    ]);
    expect(s.state.transactionStatus).toBe('E');
    expect(s.owed).toBe(1);
    s.answers(server.parsed, server.bound, server.done('ROLLBACK'), ...END, server.ready('I'));
    await s.settle();
    expect(asked[3]!.result?.tag).toBe('ROLLBACK');
    expect(s.owed).toBe(0);
  });

  it('have one Sync from a BEGIN on, and with a text that is only read', async () => {
    const s = await gathering('I');
    const begun = ask(s, 'sync', 'BEGIN');
    const reading = s.session['frontendMessages'].hidden.parse(Buffer.from('UPDATE t'));
    const asked = ask(s, 'sync');
    expect((await forwarded(s)).filter((each) => each === 'sync')).toHaveLength(1);
    s.answers(
      server.parsed,
      server.bound,
      server.done('BEGIN'),
      ...END,
      server.error('42P01'),
      server.ready('E'),
    );
    expect((await reading).error?.sqlstate).toBe('42P01');
    await s.settle();
    expect(begun.result?.tag).toBe('BEGIN');
    expect(asked.error).toMatchObject({ sqlstate: '25P02' });
    expect(s.owed).toBe(0);
  });

  it.each<[string, 'I' | 'T', readonly string[]]>([
    ['outside of a transaction', 'I', ['SELECT 7', 'SELECT 7']],
    ['behind what ends the transaction', 'T', ['ROLLBACK', 'SELECT 7', 'SELECT 7']],
    ['behind a BEGIN in front of what ends it', 'I', ['BEGIN', 'COMMIT']],
  ])('have a Sync each %s', async (_, status, texts) => {
    const s = await gathering(status);
    for (const text of texts) ask(s, 'sync', text);
    expect((await forwarded(s)).filter((each) => each === 'sync')).toHaveLength(texts.length);
  });

  it('have their Sync in front of whatever else is sent', async () => {
    const s = await gathering();
    ask(s, 'sync');
    s.upstream.write(fe.query('UPDATE t'));
    ask(s, 'sync');
    ask(s, 'sync');
    expect(await forwarded(s)).toEqual([...ASKED, 'sync', 'Query UPDATE t', ...ASKED, ...ASKED, 'sync']);
  });

  it('have one Flush inside a segment', async () => {
    const s = await waiting(fe.parse('', 'SELECT 1'));
    s.forwarded();
    s.upstream.gathers = true;
    ask(s, 'flush');
    ask(s, 'flush');
    expect(await forwarded(s)).toEqual([...ASKED, ...ASKED, 'flush']);
  });
});

describe('a hidden query inside a segment', () => {
  const inSegment = async () => {
    const s = new ScriptedSession();
    s.sends(fe.parse('', 'UPDATE t'), fe.bind(), fe.execute(), fe.sync());
    await s.settle();
    s.told();
    return s;
  };

  it('ends with a Flush, and the segment goes on', async () => {
    const s = await inSegment();
    const asked = ask(s, 'flush');
    expect(s.forwarded()).toEqual([...SENT, ...CLOSED, 'flush']);
    expect(s.answers(server.parsed)).toEqual(['parse-complete']);
    expect(s.answers(server.parsed, server.bound, row('a'), server.done('SELECT 1'))).toEqual([]);
    expect(s.answers(...END)).toEqual([]);
    await s.settle();
    expect(asked.result?.tag).toBe('SELECT 1');
    expect(await approve(s)).toEqual(['Bind  ', 'Execute ', 'sync']);
    expect(s.answers(server.bound, server.done('UPDATE 1'), server.ready())).toEqual([
      'bind-complete',
      'UPDATE 1',
      'ready I',
    ]);
  });

  it('that fails has the server discard all up to the Sync of the client', async () => {
    const s = await inSegment();
    const asked = ask(s, 'flush');
    const behind = ask(s, 'flush');
    expect(s.answers(server.parsed, server.error('42P01'))).toEqual(['parse-complete']);
    await s.settle();
    expect(asked.error).toMatchObject({ sqlstate: '42P01' });
    expect(behind.error).toMatchObject({ why: 'discarded' });
    expect(s.state.discarding).toBe(true);
    s.forwarded();
    expect(await approve(s)).toEqual(['sync']);
    expect(s.answers(server.ready())).toEqual(['ready I']);
    expect(s.owed).toBe(0);
  });

  it('behind a message that fails is discarded with the rest', async () => {
    const s = await inSegment();
    const asked = ask(s, 'flush');
    expect(s.answers(server.error('42601'))).toEqual(['error 42601']);
    await s.settle();
    expect(asked.error).toMatchObject({ why: 'discarded' });
    expect(s.owed).toBe(1);
    expect(s.answers(server.ready())).toEqual(['ready I']);
    expect(s.state.hiddenQueued).toBe(0);
  });
});
