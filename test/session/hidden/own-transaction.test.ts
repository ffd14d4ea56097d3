import { describe, expect, it } from 'vitest';
import type { HiddenConnection } from '../../../src/catalog/connection.ts';
import { HiddenQueryEnded } from '../../../src/session/hidden/hidden-exchange.ts';
import { leave } from '../../../src/session/hidden/own-transaction.ts';
import { ScriptedSession, server } from '../scripted-session.ts';

/** A session whose own transaction cannot be left, and whether it ends because of that. */
async function leaves(s: ScriptedSession): Promise<boolean> {
  const connection = { run: () => Promise.reject(new HiddenQueryEnded('lost')) };
  let failed = false;
  s.state.fail = () => {
    failed = true;
  };
  await leave(s.state, connection as unknown as HiddenConnection, ['ROLLBACK']);
  return failed;
}

describe("a transaction of the gateway's own that cannot be left", () => {
  it('ends the session, in which the client would go on in it', async () => {
    expect(await leaves(new ScriptedSession())).toBe(true);
  });

  it('is no fault of ours where the server copies in unasked, which ends it as well', async () => {
    const s = new ScriptedSession();
    s.answers(server.copyIn);
    expect(await leaves(s)).toBe(false);
    expect(s.services.metrics.protocolErrors).toBe(1);
    expect(s.upstream.socket.destroyed).toBe(true);
  });

  it('is no fault behind a FATAL, with which the server ends it', async () => {
    const s = new ScriptedSession();
    s.answers(server.error('57P01', 'FATAL'));
    expect(await leaves(s)).toBe(false);
  });
});
