import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import * as fe from '../support/frontend-messages.ts';
import { ScriptedSession, server } from './scripted-session.ts';

describe('a session whose client is gone', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  async function left(): Promise<ScriptedSession> {
    const s = new ScriptedSession();
    s.sends(fe.query('INSERT INTO t VALUES (1)'));
    s.client.close();
    await s.settle();
    expect(s.upstream.ended).toBe(true);
    expect(s.ended).toBe(false);
    return s;
  }

  it('ends when the server, which has been told so, has done what was under way', async () => {
    const s = await left();
    s.answers(server.done('INSERT 0 1'), server.ready());
    s.upstream.close();
    await s.settle();
    expect(s.ended).toBe(true);
    expect(s.services.audit.finished).toEqual(['INSERT INTO t VALUES (1): completed']);
  });

  it('does not wait for ever for a server that says nothing more', async () => {
    const s = await left();
    vi.advanceTimersByTime(LIMITS.clientGoneMs - 1);
    await s.settle();
    expect(s.ended).toBe(false);
    vi.advanceTimersByTime(1);
    await s.settle();
    expect(s.ended).toBe(true);
    expect(s.services.audit.finished).toEqual(['INSERT INTO t VALUES (1): lost']);
  });
});
