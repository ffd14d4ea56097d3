import { describe, expect, it } from 'vitest';
import type { Block } from '../../../src/policy/decision.ts';
import type { Actor, Restraint } from '../../../src/restraint/restraint.ts';
import * as fe from '../../support/frontend-messages.ts';
import { ScriptedSession, server } from '../scripted-session.ts';

const PAUSE: Restraint = { kind: 'pause', id: 'p', reason: 'a test', by: 'token:test', sinceMs: 0 };

const BLOCK: Block = {
  ...{ action: 'block', rule: 'new', reason: 'a test', risk: 'safe', wouldBe: null, hint: 'do not' },
};

function answered(s: ScriptedSession, ...replies: Buffer[]): void {
  s.answers(...(replies.length > 0 ? replies : [server.done('SELECT 1')]), server.ready());
}

/** A session in which the text has come so often that it is decided without being read. */
function warm(text: string, s = new ScriptedSession()): ScriptedSession {
  for (let i = 0; i < 4; i++) {
    expect(s.sends(fe.query(text))).toEqual([`Query ${text}`]);
    answered(s);
  }
  const { analyze } = s.services.analyzer;
  s.services.analyzer.analyze = () => {
    throw new Error('it is read again');
  };
  expect(s.sends(fe.query(text)), 'goes without being read').toEqual([`Query ${text}`]);
  answered(s);
  s.services.analyzer.analyze = analyze;
  return s;
}

function replacePolicy(s: ScriptedSession): void {
  const { policy } = s.services as { policy: { current: unknown } };
  const rules = { decide: () => BLOCK };
  policy.current = { mode: 'protect', forSession: () => rules };
}

function pause(s: ScriptedSession): void {
  (s.services.restraints as { of: (actor: Actor) => Restraint | null }).of = () => PAUSE;
}

describe('a Query whose like was let through a moment before', () => {
  it('has an event of its own each time, with its end', () => {
    const s = warm('INSERT 1');
    expect(new Set(s.services.audit.begun).size).toBe(5);
    expect(s.services.audit.finished).toEqual(Array(5).fill('INSERT 1: completed'));
    s.sends(fe.query('INSERT 1'));
    s.answers(server.error('23505'), server.ready());
    expect(s.services.audit.finished.at(-1)).toBe('INSERT 1: failed 23505');
  });

  it('is decided anew where the policy has been replaced', () => {
    const s = warm('SELECT 1');
    replacePolicy(s);
    expect(s.sends(fe.query('SELECT 1'))).toEqual(['poison query']);
  });

  it('is refused where the gateway has been paused, if it changes anything', () => {
    const s = warm('INSERT 1');
    pause(s);
    expect(s.sends(fe.query('INSERT 1'))).toEqual(['poison query']);
    const read = warm('SELECT 1');
    pause(read);
    expect(read.sends(fe.query('SELECT 1'))).toEqual(['Query SELECT 1']);
  });

  it('waits while the audit cannot be stored, if it changes anything', async () => {
    const s = warm('INSERT 1');
    s.services.audit.failing = true;
    expect(s.sends(fe.query('INSERT 1'))).toEqual([]);
    s.services.audit.working.resolve(false);
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
  });

  it('is recorded first, where a commit waits for that', async () => {
    const s = warm('INSERT 1');
    s.services.recordsFirst = true;
    s.services.audit.recorded = false;
    expect(s.sends(fe.query('INSERT 1'))).toEqual([]);
    await s.settle();
    expect(s.forwarded()).toEqual(['poison query']);
  });

  it('is read anew where names may mean something else', () => {
    const s = warm('SELECT f');
    s.sends(fe.query('SET search_path = evil, pg_catalog'));
    answered(s, server.done('SET'));
    expect(s.sends(fe.query('SELECT f'))).toEqual(['poison query']);
  });

  it('is no message of its own while the server copies in, nor behind an error that discards', () => {
    const s = warm('SELECT 1');
    s.sends(fe.query('COPY t FROM STDIN'));
    s.answers(server.copyIn);
    // The server gets the header alone, at which it breaks off.
    expect(s.sends(fe.query('SELECT 1'))).toEqual([]);
    expect(s.services.metrics.protocolErrors).toBe(1);
    const failed = warm('SELECT 1');
    failed.sends(fe.execute('none'));
    failed.answers(server.error('34000'));
    expect(failed.sends(fe.query('SELECT 1'))).toEqual([]);
    expect(failed.sends(fe.sync())).toEqual(['sync']);
  });

  it('ends a transaction as one that is read', () => {
    const s = warm('COMMIT');
    s.sends(fe.query('SET DateStyle = german'));
    s.answers(server.done('SET'), server.ready('T'));
    const { literalsEpoch } = s.state;
    expect(s.sends(fe.query('COMMIT'))).toEqual(['Query COMMIT']);
    expect(s.state.literalsEpoch).toBeGreaterThan(literalsEpoch);
  });

  it('is never one of what is held or blocked', () => {
    for (const text of ['DELETE 1', 'UPDATE 1', 'EXECUTE p']) {
      const s = new ScriptedSession();
      for (let i = 0; i < 6; i++) {
        const sent = s.sends(fe.query(text));
        expect(sent, text).toEqual(text === 'UPDATE 1' ? [] : ['poison query']);
        if (text === 'UPDATE 1') break;
        s.answers(server.error('42601'), server.ready());
      }
    }
  });
});
