import { describe, expect, it, vi } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { ScriptedSession, server } from './scripted-session.ts';

/** The messages of one execution, and what the server answers to each. */
interface Exchange {
  readonly sent: readonly Buffer[];
  readonly answers: readonly Buffer[];
}

const DESCRIBE = fe.describe('P', '');

function ofPrepared(tag: string, status: 'I' | 'T' = 'I'): Exchange {
  return {
    sent: [fe.bind({ statement: 's' }), DESCRIBE, fe.execute(), fe.sync()],
    answers: [server.bound, server.rows, server.row, server.done(tag), server.ready(status)],
  };
}

function ofText(text: string, tag: string, status: 'I' | 'T' = 'I'): Exchange {
  return {
    sent: [fe.parse('', text), fe.bind(), fe.execute(), fe.sync()],
    answers: [server.parsed, server.bound, server.done(tag), server.ready(status)],
  };
}

/** A session that has `s` prepared, and in which the exchange has been let through before. */
function warm({ sent, answers }: Exchange, text = 'SELECT 1'): ScriptedSession {
  const s = new ScriptedSession();
  s.sends(fe.parse('s', text), fe.sync());
  s.answers(server.parsed, server.ready());
  for (let i = 0; i < 3; i++) {
    for (const message of sent) s.sends(message);
    s.answers(...answers);
  }
  s.services.audit.finished.length = 0;
  return s;
}

/** All that can be seen of the session from outside, and what it believes of the names. */
function seen(s: ScriptedSession) {
  const { state } = s;
  const ofName = (name: string) => {
    const statement = state.statements.lookup(name);
    const portal = state.portals.lookup(name);
    return [
      statement === undefined ? 'unsettled' : (statement?.text ?? null),
      portal === undefined ? 'unsettled' : (portal?.statement.text ?? null),
    ];
  };
  return {
    ...{ owed: s.owed, status: state.transactionStatus, segment: state.segment },
    ...{ isInBlock: state.isInBlock, isImplicit: state.inImplicitBlock, epoch: state.epoch },
    ...{ begunIn: state.begunIn, executedIn: state.executedIn, isCurrent: state.parsedIn === state.segment },
    ...{ unnamed: ofName(''), named: ofName('s'), finished: [...s.services.audit.finished] },
    begun: s.services.audit.begun.length,
  };
}

const KINDS: readonly (readonly [string, Exchange])[] = [
  ['of a prepared statement', ofPrepared('SELECT 1')],
  ['of a text', ofText('SELECT 1', 'SELECT 1')],
  ['in a transaction', ofText('SELECT 1', 'SELECT 1', 'T')],
];

describe.each(KINDS)('an execution %s that was let through before', (_kind, exchange) => {
  const { sent, answers } = exchange;
  const folded = (): ScriptedSession => {
    const s = warm(exchange);
    s.sends(...sent);
    expect(s.state.replies.folded, 'stands for its messages').not.toBeNull();
    return s;
  };
  /** The same where every message is decided by itself. */
  const single = (): ScriptedSession => {
    const s = warm(exchange);
    for (const message of sent) {
      s.sends(message);
      expect(s.state.replies.folded).toBeNull();
    }
    return s;
  };

  it('goes as it was sent, and comes back as it was answered', () => {
    const s = warm(exchange);
    const once = warm(exchange);
    expect(s.sends(...sent)).toEqual(sent.flatMap((message) => once.sends(message)));
    expect(s.answers(...answers)).toEqual(once.answers(...answers));
    expect(s.state.replies.folded).toBeNull();
    expect(s.services.audit.finished).toEqual(['SELECT 1: completed']);
    expect(seen(s)).toEqual(seen(once));
  });

  it('is answered in packets of whatever size', () => {
    const whole = Buffer.concat(answers);
    for (let cut = 1; cut < whole.length; cut++) {
      const s = folded();
      const once = single();
      for (const each of [s, once]) {
        each.upstream.receive(whole.subarray(0, cut));
        each.upstream.receive(whole.subarray(cut));
      }
      expect(s.told()).toEqual(once.told());
      expect(seen(s)).toEqual(seen(once));
      expect(s.owed).toBe(0);
    }
  });

  it('fails wherever the server says so, and says how', () => {
    for (let done = 0; done < answers.length; done++) {
      const s = folded();
      const once = single();
      const failed = [...answers.slice(0, done), server.error('22012')];
      expect(s.answers(...failed)).toEqual(once.answers(...failed));
      expect(seen(s)).toEqual(seen(once));
      expect(s.answers(server.ready('I'))).toEqual(once.answers(server.ready('I')));
      expect(seen(s)).toEqual(seen(once));
      expect(s.owed).toBe(0);
    }
  });

  it('is as its messages for what the client sends before it is answered, whenever that comes', () => {
    const next: readonly (readonly Buffer[])[] = [
      [fe.execute(), fe.sync()],
      [fe.bind(), fe.execute(), fe.sync()],
      [fe.bind({ statement: 's' }), fe.execute(), fe.sync()],
      [fe.query('SELECT 1')],
      [fe.query('DELETE 1')],
      [fe.close('S', 's'), fe.sync()],
      sent,
    ];
    for (let done = 0; done <= answers.length; done++) {
      for (const messages of next) {
        const s = folded();
        const once = single();
        for (const each of [s, once]) if (done > 0) each.answers(...answers.slice(0, done));
        expect(s.sends(Buffer.concat(messages))).toEqual(messages.flatMap((each) => once.sends(each)));
        expect(seen(s)).toEqual(seen(once));
        const rest = [...answers.slice(done), server.error('26000'), server.ready('I')];
        expect(s.answers(...rest)).toEqual(once.answers(...rest));
        expect(seen(s)).toEqual(seen(once));
      }
    }
  });

  it('lets pass what the server says between its answers', () => {
    for (let done = 0; done < answers.length; done++) {
      const s = folded();
      const said = [
        ...answers.slice(0, done),
        server.setting('TimeZone', 'UTC'),
        ...[...answers.slice(done)],
      ];
      expect(s.answers(...said)).toHaveLength(said.length);
      expect(s.owed).toBe(0);
      expect(s.services.audit.finished).toEqual(['SELECT 1: completed']);
    }
  });

  it('is recorded as lost where the server goes', async () => {
    for (let done = 0; done < answers.length; done++) {
      const s = folded();
      if (done > 0) s.answers(...answers.slice(0, done));
      s.upstream.close();
      await s.settle();
      const hasEnded = done >= answers.length - 1;
      expect(s.services.audit.finished).toEqual([`SELECT 1: ${hasEnded ? 'completed' : 'lost'}`]);
    }
  });
});

/** Whether it is taken for sent as one. */
function isTaken(s: ScriptedSession, { sent }: Exchange): boolean {
  s.sends(...sent);
  return s.state.replies.folded !== null;
}

const READ = ofText('SELECT 1', 'SELECT 1');
const WRITE = ofText('INSERT 1', 'INSERT 0 1');
const COMMIT = ofText('COMMIT', 'COMMIT', 'T');

describe('an execution is not taken for sent as one', () => {
  it('with another number of parameters', () => {
    const s = warm(ofPrepared('SELECT 1'));
    s.sends(fe.bind({ statement: 's', parameters: ['1'] }), fe.execute(), fe.sync());
    expect(s.state.replies.folded).toBeNull();
  });

  it('where it has to be asked what its tables run', () => {
    const s = warm(WRITE);
    s.state.written.unknown = () => ['t'];
    expect(isTaken(s, WRITE)).toBe(false);
    expect(s.state.replies.length).toBeGreaterThan(0);
  });

  it('where a setting may be put back, or what literals stand for', () => {
    const settings = warm(READ);
    settings.state.settings.mayBePutBack = true;
    expect(isTaken(settings, READ)).toBe(false);
    const literals = warm(READ);
    literals.state.literalsTouched = true;
    expect(isTaken(literals, READ)).toBe(false);
  });

  it('where it is in doubt what the names stand for', () => {
    const s = warm(READ);
    s.state.codeRuns();
    expect(isTaken(s, READ)).toBe(false);
  });

  it('with approved portals open, which it may close', () => {
    const s = warm(READ);
    const { approved } = s.session['frontendMessages'] as unknown as { approved: object };
    Object.defineProperty(approved, 'areOpen', { get: () => true });
    expect(isTaken(s, READ)).toBe(false);
  });

  it('where a query of ours is kept as the unnamed statement, unless it names another', () => {
    for (const [exchange, expected] of [
      [READ, false],
      [ofPrepared('SELECT 1'), true],
    ] as const) {
      const s = warm(exchange);
      s.session['frontendMessages'].hidden.kept.mayStand = true;
      expect(isTaken(s, exchange)).toBe(expected);
    }
  });

  it('where it may commit what is to be recorded first', () => {
    for (const [exchange, isRecorded, expected] of [
      [WRITE, false, false],
      [WRITE, true, false],
      [COMMIT, true, false],
      [READ, true, true],
      // What is under way of the session may be committed by its Sync.
      [READ, false, false],
    ] as const) {
      const s = warm(exchange);
      (s.services as { recordsFirst: boolean }).recordsFirst = true;
      s.services.audit.recorded = isRecorded;
      expect(isTaken(s, exchange)).toBe(expected);
    }
  });
});

describe('an execution that is taken for sent as one', () => {
  it('ends a transaction block where its statement does', () => {
    const s = warm(COMMIT);
    expect(s.state.isInBlock).toBe(true);
    expect(isTaken(s, COMMIT)).toBe(true);
    expect(s.state.isInBlock).toBe(false);
  });

  it('tells what follows the transaction', () => {
    const s = warm(COMMIT);
    const { reads, written } = s.state;
    const begins = vi.spyOn(reads, 'begins');
    const ends = vi.spyOn(written, 'transactionEnds');
    expect(isTaken(s, COMMIT)).toBe(true);
    expect(begins).toHaveBeenCalledOnce();
    expect(ends).toHaveBeenCalledOnce();
  });

  it('has what its tables run run with it', () => {
    const s = warm(WRITE);
    const { epoch } = s.state;
    s.state.written.codeOf = () => 'names';
    expect(isTaken(s, WRITE)).toBe(true);
    expect(s.state.epoch).toBe(epoch + 1);
    expect(s.state.namesDoubted).toBe(true);
  });

  it('leaves the unnamed statement as its Parse has made it, once that is answered', () => {
    const s = warm(READ);
    s.sends(fe.parse('', 'SELECT 9'), fe.sync());
    s.answers(server.parsed, server.ready());
    expect(isTaken(s, READ)).toBe(true);
    s.answers(...READ.answers);
    expect(s.state.statements.lookup('')?.text).toBe('SELECT 1');
  });

  it('has an unnamed statement from its Parse on', () => {
    const s = warm(ofPrepared('SELECT 1'));
    for (const name of ['', 's2']) {
      s.sends(fe.parse(name, 'SELECT 1'), fe.bind({ statement: name }), fe.execute(), fe.sync());
      s.answers(server.parsed, server.bound, server.done('SELECT 1'), server.ready());
    }
    s.state.statements.hasUnnamed = false;
    expect(isTaken(s, READ)).toBe(true);
    expect(s.state.statements.hasUnnamed).toBe(true);
  });

  it('has the types of its parameters told anew', () => {
    const s = warm(READ);
    const made = s.state.statements.peek('')!;
    made.told = { name: '', types: [] };
    expect(isTaken(s, READ)).toBe(true);
    expect(made.told).toBeNull();
  });

  it('tells the snapshots of its transaction what its end was', () => {
    const s = warm(COMMIT);
    s.state.fates.add('folder', true);
    expect(isTaken(s, COMMIT)).toBe(true);
    s.answers(server.parsed, server.bound, server.done('COMMIT'));
    expect(s.state.fates.areOpen).toBe(false);
  });
});

it('a COPY that begins in its place is one', () => {
  const copies = ofText('COPY', 'COPY 0');
  const s = warm(copies);
  s.sends(...copies.sent);
  expect(s.state.replies.folded).not.toBeNull();
  s.answers(server.parsed, server.bound, server.copyIn);
  expect(s.state.copyingIn).toBe(true);
  expect(s.sends(fe.copyData('1\n'), fe.copyDone(), fe.sync())).toEqual(['copy-data', 'copy-done', 'sync']);
  s.answers(server.done('COPY 1'), server.ready());
  expect(s.services.audit.finished).toEqual(['COPY: completed']);
  expect(s.owed).toBe(0);
});
