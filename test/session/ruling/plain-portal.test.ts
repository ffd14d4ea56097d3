import { describe, expect, it } from 'vitest';
import type { Block, Decision } from '../../../src/policy/decision.ts';
import type { Actor, Restraint } from '../../../src/restraint/restraint.ts';
import type { Portal, PreparedStatement } from '../../../src/session/known/names.ts';
import type { Reading } from '../../../src/sql/recent/recent-texts.ts';
import * as fe from '../../support/frontend-messages.ts';
import { prepared, type ScriptedSession, server, undiscarded } from '../scripted-session.ts';

const RUN = ['Bind  s', 'Execute ', 'sync'];
const run = [fe.bind({ statement: 's' }), fe.execute(), fe.sync()];

function answered(s: ScriptedSession): void {
  s.answers(server.bound, server.done('SELECT 1'), server.ready());
}

/** A session in which the statement has run twice, so that its portal is one that was there before. */
function warm(text: string): ScriptedSession {
  const s = prepared('s', text);
  for (let i = 0; i < 2; i++) {
    expect(s.sends(...run)).toEqual(RUN);
    answered(s);
  }
  expect(plainOf(s)).not.toBeNull();
  return s;
}

function plainOf(s: ScriptedSession): Portal | null {
  return s.state.statements.peek('s')?.plain ?? null;
}

const PAUSE: Restraint = {
  kind: 'pause',
  id: 'p',
  reason: 'a test',
  by: 'token:test',
  sinceMs: 0,
};

function pause(s: ScriptedSession): void {
  (s.services.restraints as { of: (actor: Actor) => Restraint | null }).of = () => PAUSE;
}

function replacePolicy(s: ScriptedSession, decide: () => Decision): void {
  const { policy } = s.services as { policy: { current: unknown } };
  const rules = { decide };
  policy.current = { mode: 'protect', forSession: () => rules };
}

const BLOCK: Block = {
  ...{ action: 'block', rule: 'new', reason: 'a test', risk: 'safe', wouldBe: null, hint: 'do not' },
};

describe('a portal that is bound as it was a moment before', () => {
  it('is the same one, and each Execute of it has an event of its own', () => {
    const s = warm('INSERT 1');
    const plain = plainOf(s);
    s.sends(run[0]!);
    expect(s.state.portals.peek('')).toBe(plain);
    s.sends(run[1]!, run[2]!);
    answered(s);
    expect(new Set(s.services.audit.begun).size).toBe(3);
    expect(s.services.audit.finished).toEqual(Array(3).fill('INSERT 1: completed'));
  });

  it('is decided anew where the policy has been replaced', () => {
    const s = warm('SELECT 1');
    replacePolicy(s, () => BLOCK);
    expect(undiscarded(s.sends(...run))).toEqual(['poison', 'sync']);
  });

  it('is refused where the gateway has been paused, at its Bind and at its Execute', () => {
    const atBind = warm('INSERT 1');
    pause(atBind);
    expect(undiscarded(atBind.sends(...run))).toEqual(['poison', 'sync']);
    const atExecute = warm('INSERT 1');
    expect(atExecute.sends(run[0]!)).toEqual(['Bind  s']);
    pause(atExecute);
    expect(undiscarded(atExecute.sends(run[1]!, run[2]!))).toEqual(['poison', 'sync']);
    const read = warm('SELECT 1');
    pause(read);
    expect(read.sends(...run)).toEqual(RUN);
  });

  it('waits while the audit cannot be stored, if it changes anything', async () => {
    const s = warm('INSERT 1');
    s.services.audit.failing = true;
    expect(s.sends(...run)).toEqual([]);
    s.services.audit.working.resolve(false);
    await s.settle();
    expect(undiscarded(s.forwarded())).toEqual(['poison', 'sync']);
  });

  it('is decided anew where names may mean something else', () => {
    const s = warm('SELECT f');
    s.sends(fe.query('SET search_path = evil, pg_catalog'));
    s.answers(server.done('SET'), server.ready());
    expect(undiscarded(s.sends(...run))).toEqual(['poison', 'sync']);
  });

  it('is another where it has another number of parameters', () => {
    const s = warm('SELECT 1');
    const parametersOf = (bind: Buffer) => {
      s.sends(bind);
      const count = s.state.portals.peek('')?.parameters;
      s.sends(run[1]!, run[2]!);
      answered(s);
      return count;
    };
    const two = fe.bind({ statement: 's', parameters: ['1', '2'] });
    expect([parametersOf(two), parametersOf(two), parametersOf(run[0]!)]).toEqual([2, 2, 0]);
  });

  it('is never one of what is held or blocked', () => {
    for (const text of ['DELETE 1', 'UPDATE 1', 'EXECUTE p']) {
      const s = prepared('s', text);
      s.sends(...run);
      expect(plainOf(s), text).toBeNull();
    }
  });
});

describe('a Parse of a text that was parsed a moment before', () => {
  const parse = (types: readonly number[] = []) => [fe.parse('', 'SELECT 1', types), fe.sync()];
  const statement = (s: ScriptedSession) => s.state.statements.peek('');

  /** What the stub reads is another object each time until a text has come twice, where the real one knows it again. */
  function reading(redacted: string | null = null): ScriptedSession {
    const s = prepared('s', 'SELECT 0');
    const { analyzer } = s.services;
    const { read } = analyzer;
    const kept = new Map<string, ReturnType<typeof read>>();
    analyzer.read = (bytes, start, end, facts) => {
      const key = `${bytes.toString('latin1', start, end)} ${JSON.stringify(facts)}`;
      if (!kept.has(key)) {
        const { text, analysis } = read(bytes, start, end, facts) as Reading;
        kept.set(key, { text, analysis: { ...analysis, redacted } });
      }
      return kept.get(key)!;
    };
    return s;
  }

  function makes(s: ScriptedSession, ...messages: Buffer[]): PreparedStatement | null {
    s.sends(...messages);
    s.answers(server.parsed, server.ready());
    return statement(s);
  }

  it('makes the same statement, unless its types or what names mean are others', () => {
    const s = reading();
    const made = (...messages: Buffer[]) => makes(s, ...messages);
    const first = made(...parse());
    expect(made(...parse())).toBe(first);
    const typed = made(...parse([23]));
    expect(typed).not.toBe(first);
    expect(typed?.types).not.toBe('');
    expect(made(...parse())).toBe(first);
    s.sends(fe.query('SET search_path = evil, pg_catalog'));
    s.answers(server.done('SET'), server.ready());
    expect(made(...parse())).not.toBe(first);
  });

  it('makes another, of which nothing is kept, where it has very many types or a secret', () => {
    const typed = reading();
    const types = Array<number>(200).fill(23);
    expect(makes(typed, ...parse(types))).not.toBe(makes(typed, ...parse(types)));
    const secret = reading('SELECT ***');
    expect(makes(secret, ...parse())).not.toBe(makes(secret, ...parse()));
  });
});
