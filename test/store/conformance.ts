import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { ApprovalRow, ApprovalVote, AuditBlock, ControlStore } from '../../src/store/control-store.ts';
import { approvalRow } from '../notify/rows.ts';

/** What an adapter's test gives: a store of its own that is empty, and the same one opened again. */
export interface StoreUnderTest {
  /** Opens the one store of this test; called again after `close`, it finds what was there. */
  open(): Promise<ControlStore>;
  remove(): Promise<void>;
}

/** What every adapter of ControlStore is held to. */
export function controlStoreConformance(name: string, create: () => Promise<StoreUnderTest>): void {
  describe(`control store: ${name}`, () => {
    let under: StoreUnderTest;
    let store: ControlStore;

    beforeEach(async () => {
      under = await create();
      store = await under.open();
    });
    afterEach(async () => {
      await store.close();
      await under.remove();
    });

    async function reopen(): Promise<void> {
      await store.close();
      store = await under.open();
    }

    describe('audit', () => {
      it('starts at nothing', async () => {
        expect(await store.auditHead()).toEqual({ lastSeq: 0, lastHash: null, open: [] });
        expect(await store.readAudit(EVERYTHING)).toEqual([]);
      });

      it('gives back the bytes of blocks, newest first, also when opened again', async () => {
        await store.appendAudit({ blocks: [block(1, 3), block(4, 4)], opened: [], closed: [] });
        await store.appendAudit({ blocks: [block(5, 900, 20_000)], opened: [], closed: [] });
        await reopen();
        expect((await store.auditHead()).lastSeq).toBe(900);
        const read = await store.readAudit(EVERYTHING);
        expect(read.map((one) => [one.firstSeq, one.lastSeq])).toEqual([
          [5, 900],
          [4, 4],
          [1, 3],
        ]);
        expect(Buffer.from(read[0]!.bytes).equals(block(5, 900, 20_000).bytes)).toBe(true);
        expect(Buffer.from(read[2]!.bytes).equals(block(1, 3).bytes)).toBe(true);
      });

      it('leaves a block that it has as it is, so that a write can be made again', async () => {
        const write = { blocks: [block(1, 3)], opened: [{ id: 1, bytes: bytes(8) }], closed: [] };
        await store.appendAudit(write);
        await store.appendAudit(write);
        expect(await store.readAudit(EVERYTHING)).toHaveLength(1);
        expect((await store.auditHead()).open).toHaveLength(1);
      });

      it('keeps what was begun until the write that tells its end', async () => {
        const opened = [
          { id: 7, bytes: bytes(100) },
          { id: 8, bytes: bytes(5) },
        ];
        await store.appendAudit({ blocks: [], opened, closed: [] });
        await reopen();
        expect((await store.auditHead()).open.map((record) => record.id)).toEqual([7, 8]);
        await store.appendAudit({ blocks: [block(1, 1)], opened: [], closed: [7] });
        const head = await store.auditHead();
        expect(head.open.map((record) => record.id)).toEqual([8]);
        expect(Buffer.from(head.open[0]!.bytes).equals(bytes(5))).toBe(true);
      });

      it('reads a part: before a sequence number, in a span of time, up to a size', async () => {
        const blocks = [1, 2, 3, 4, 5].map((seq) => block(seq, seq, 1000));
        await store.appendAudit({ blocks, opened: [], closed: [] });
        const seqs = async (part: Partial<typeof EVERYTHING>) =>
          (await store.readAudit({ ...EVERYTHING, ...part })).map((one) => one.firstSeq);
        expect(await seqs({ beforeSeq: 3 })).toEqual([2, 1]);
        expect(await seqs({ sinceMs: 4000 })).toEqual([5, 4]);
        expect(await seqs({ untilMs: 2000 })).toEqual([2, 1]);
        expect(await seqs({ bytesMax: 1500 })).toEqual([5, 4]);
        expect(await seqs({ bytesMax: 1 })).toEqual([5]);
      });

      it('loses and doubles none of many small blocks', async () => {
        const count = 1200;
        for (let seq = 1; seq <= count; seq++) {
          void store.appendAudit({ blocks: [block(seq, seq, 40)], opened: [], closed: [] });
          if (seq % 50 === 0) await store.auditHead();
        }
        const readSeqs = async () => {
          const stored = await store.readAudit(EVERYTHING);
          const all = Buffer.concat(stored.toReversed().map((one) => one.bytes));
          return Array.from({ length: all.length / 40 }, (_, i) => all.readUInt32LE(i * 40));
        };
        const expected = Array.from({ length: count }, (_, i) => i + 1);
        expect(await readSeqs()).toEqual(expected);
        await reopen();
        expect(await readSeqs()).toEqual(expected);
      });
    });

    describe('approvals', () => {
      it('gives back what was put in', async () => {
        const row = pending('apr_1');
        await store.insertApproval(row);
        await reopen();
        expect(await store.approval('apr_1')).toEqual(row);
        expect(await store.approval('apr_2')).toBeNull();
      });

      it('refuses a second one of the same id, and nothing else with it', async () => {
        await store.insertApproval(pending('apr_1'));
        const results = await Promise.allSettled([
          store.insertApproval(pending('apr_0')),
          store.insertApproval(pending('apr_1')),
          store.insertApproval(pending('apr_2')),
        ]);
        expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
        expect((results[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'STORE_FAILED' });
        expect(await store.approvals({ state: null, beforeId: null, limit: 10 })).toHaveLength(3);
      });

      it('lets the first resolution stand', async () => {
        await store.insertApproval(pending('apr_1'));
        const [first, second] = await Promise.all([
          store.resolveApproval('apr_1', { state: 'approved', atMs: 5.25, by: 'ops', comment: 'fine' }),
          store.resolveApproval('apr_1', { state: 'canceled', atMs: 6, by: null, comment: null }),
        ]);
        const row = {
          ...pending('apr_1'),
          state: 'approved',
          resolvedAtMs: 5.25,
          resolvedBy: 'ops',
          comment: 'fine',
        };
        expect(first).toEqual({ changed: true, row });
        expect(second).toEqual({ changed: false, row });
        await reopen();
        expect(await store.approval('apr_1')).toEqual(row);
      });

      it('says when there is none to resolve', async () => {
        expect(
          await store.resolveApproval('apr_9', { state: 'denied', atMs: 1, by: null, comment: null }),
        ).toBeNull();
      });

      it('makes tickets of what an earlier run left pending, and abandons what has no key', async () => {
        await store.insertApproval(pending('apr_1'));
        for (const id of ['apr_2', 'apr_3']) await store.insertApproval(ticket(id, { mode: 'live' }));
        await store.resolveApproval('apr_2', { state: 'denied', atMs: 1, by: 'ops', comment: null });
        expect(await store.detachApprovals(2)).toEqual({ detached: 1, abandoned: 1 });
        expect(await store.detachApprovals(3)).toEqual({ detached: 0, abandoned: 0 });
        const rows = await store.approvals({ state: null, beforeId: null, limit: 9 });
        expect(rows.map(({ state, mode }) => `${state} ${mode}`)).toEqual([
          'pending ticket',
          'denied live',
          'abandoned live',
        ]);
      });

      it('takes the same request once, while nothing is decided of it', async () => {
        const [first, second, other] = await Promise.all([
          store.insertApproval(ticket('apr_1')),
          store.insertApproval(ticket('apr_2')),
          store.insertApproval(ticket('apr_3', { terms: 'others' })),
        ]);
        expect([first.id, second.id, other.id]).toEqual(['apr_1', 'apr_1', 'apr_3']);
        await store.resolveApproval('apr_1', { state: 'denied', atMs: 1, by: 'ops', comment: null });
        expect((await store.insertApproval(ticket('apr_4'))).id).toBe('apr_4');
        const expired = { ...ticket('apr_5'), createdAtMs: 2000, expiresAtMs: 3000 };
        expect((await store.insertApproval(expired)).id).toBe('apr_5');
        expect((await store.approvalsOfKey('key', 10)).map(({ id }) => id)).toEqual([
          'apr_5',
          'apr_4',
          'apr_3',
          'apr_1',
        ]);
      });

      it('counts one vote of each, and resolves with the last that is needed', async () => {
        await store.insertApproval(ticket('apr_1'));
        expect(await store.voteApproval(vote('ana', { needed: 2 }))).toMatchObject({
          changed: false,
          row: { state: 'pending', votes: [{ principal: 'ana', verdict: 'approve', comment: 'by ana' }] },
        });
        const again = await store.voteApproval(vote('ana', { needed: 2, atMs: 6, comment: 'again' }));
        expect(again?.row.votes).toMatchObject([{ atMs: 5, comment: 'by ana' }]);
        const last = await store.voteApproval(vote('ben', { needed: 2, atMs: 7 }));
        const row = { state: 'approved', resolvedBy: 'ana, ben', comment: 'by ana; by ben', resolvedAtMs: 7 };
        expect(last).toMatchObject({ changed: true, row });
        expect(last?.row).toMatchObject({ grantUntilMs: 107, consumedAtMs: null });
        const late = await store.voteApproval(vote('cid', { verdict: 'deny' }));
        expect(late).toMatchObject({ changed: false, row });
        await reopen();
        expect(await store.approval('apr_1')).toEqual(last?.row);
      });

      it('counts somebody with two names once', async () => {
        await store.insertApproval(ticket('apr_1'));
        await store.voteApproval(vote('one', { needed: 2, person: 'ana' }));
        const second = await store.voteApproval(vote('two', { needed: 2, person: 'ana' }));
        expect(second).toMatchObject({
          changed: false,
          row: { state: 'pending', votes: [{ person: 'ana' }, { person: 'ana' }] },
        });
        expect(await store.voteApproval(vote('ben', { needed: 2 }))).toMatchObject({
          row: { state: 'approved', resolvedBy: expect.stringContaining('ben') },
        });
      });

      it('tells two people of one name apart by their subjects, and knows one by them under another name', async () => {
        await store.insertApproval(ticket('apr_1'));
        const three = { needed: 3 };
        await store.voteApproval(vote('ana (7)', { ...three, person: 'ana', subject: 'i 7' }));
        const renamed = { ...three, person: 'bella', subject: 'i 7' };
        expect((await store.voteApproval(vote('bella (7)', renamed)))?.changed).toBe(false);
        const other = { ...three, person: 'ana', subject: 'i 8' };
        expect((await store.voteApproval(vote('ana (8)', other)))?.changed).toBe(false);
        expect(await store.voteApproval(vote('ben', three))).toMatchObject({
          row: { state: 'approved', votes: { length: 4 } },
        });
        // Without a subject nobody can tell which of the two it is.
        await store.insertApproval(ticket('apr_2', { bindingKey: 'two' }));
        for (const [name, said] of [
          ['ana (7)', { person: 'ana', subject: 'i 7' }],
          ['ana (8)', { person: 'ana', subject: 'i 8' }],
          ['ana', { person: 'Ana' }],
        ] as const) {
          const voted = await store.voteApproval(vote(name, { approvalId: 'apr_2', ...three, ...said }));
          expect(voted?.changed).toBe(false);
        }
        expect((await store.voteApproval(vote('ben', { approvalId: 'apr_2', ...three })))?.changed).toBe(
          false,
        );
      });

      it('lets one denial suffice, and break-glass alone, but nothing after its time', async () => {
        for (const id of ['apr_1', 'apr_2', 'apr_3'])
          await store.insertApproval(ticket(id, { bindingKey: id }));
        await store.voteApproval(vote('ana', { needed: 2 }));
        expect((await store.voteApproval(vote('ana', { needed: 2, verdict: 'deny' })))?.row).toMatchObject({
          state: 'denied',
          resolvedBy: 'ana',
          grantUntilMs: null,
        });
        const broken = { approvalId: 'apr_2', needed: 9, breakGlass: true };
        expect((await store.voteApproval(vote('ana', broken)))?.row).toMatchObject({ state: 'approved' });
        const late = await store.voteApproval(vote('ana', { approvalId: 'apr_3', atMs: 1001 }));
        expect(late).toMatchObject({ changed: false, row: { state: 'pending', votes: [] } });
        expect(await store.voteApproval(vote('ana', { approvalId: 'apr_9' }))).toBeNull();
      });

      it('lets a grant be used once, by one of many, and not after its time', async () => {
        for (const id of ['apr_1', 'apr_2', 'apr_3'])
          await store.insertApproval(
            ticket(id, { bindingKey: id, mode: id === 'apr_3' ? 'live' : 'ticket' }),
          );
        for (const approvalId of ['apr_1', 'apr_2', 'apr_3'])
          await store.voteApproval(vote('ana', { approvalId }));
        const used = await Promise.all(['a', 'b', 'c'].map((by) => store.consumeGrant('apr_1', 50, by)));
        expect(used).toEqual([true, false, false]);
        expect(await store.approval('apr_1')).toMatchObject({ consumedAtMs: 50, consumedBy: 'a' });
        expect(await store.consumeGrant('apr_2', 105, 'late')).toBe(false);
        expect(await store.approval('apr_3')).toMatchObject({ consumedAtMs: 5, consumedBy: 'ses_1' });
        expect(await store.consumeGrant('apr_3', 50, 'another')).toBe(false);
      });

      it('lists newest first, in pages, of one state or all', async () => {
        for (let i = 1; i <= 7; i++) await store.insertApproval(pending(`apr_${i}`));
        for (const id of ['apr_2', 'apr_5']) {
          await store.resolveApproval(id, { state: 'approved', atMs: 1, by: 'a', comment: null });
        }
        const ids = async (state: string | null, beforeId: string | null, limit: number) =>
          (await store.approvals({ state, beforeId, limit })).map((row) => row.id.slice(4)).join('');
        expect(await ids(null, null, 3)).toBe('765');
        expect(await ids(null, 'apr_5', 3)).toBe('432');
        expect(await ids('pending', null, 4)).toBe('7643');
        expect(await ids('pending', 'apr_3', 4)).toBe('1');
        expect(await ids('approved', null, 4)).toBe('52');
      });
    });

    it('keeps the text of a long statement beside its approval', async () => {
      await store.insertApproval(pending('apr_1'), 'delete from t -- and so on');
      await store.insertApproval(pending('apr_2'));
      await reopen();
      expect(await store.approvalText('apr_1')).toBe('delete from t -- and so on');
      expect(await store.approvalText('apr_2')).toBeNull();
    });

    it('lets go of the oldest of long texts, so that nobody fills it by asking', async () => {
      const text = 'x'.repeat(LIMITS.approvalTextBytes);
      const fit = LIMITS.approvalTextsBytes / LIMITS.approvalTextBytes;
      const ids = Array.from({ length: fit + 1 }, (_, i) => `apr_${1000 + i}`);
      for (const id of ids) await store.insertApproval(pending(id), text);
      expect(await store.approvalText(ids[0]!)).toBeNull();
      expect((await store.approvalText(ids[1]!))?.length).toBe(text.length);
      expect(await store.approval(ids[0]!)).not.toBeNull();
    });

    it('lets go of what is over first, and then of what is of those who have asked for most', async () => {
      const text = 'x'.repeat(LIMITS.approvalTextBytes);
      const fit = LIMITS.approvalTextsBytes / LIMITS.approvalTextBytes;
      await store.insertApproval({ ...pending('apr_1'), role: 'app' }, 'delete from t');
      await store.insertApproval({ ...pending('apr_2'), role: 'old' }, 'delete from u');
      const denied = { state: 'denied', atMs: 1, by: 'ana', comment: null };
      await store.resolveApproval('apr_2', denied);
      const ids = Array.from({ length: fit + 1 }, (_, i) => `apr_${1000 + i}`);
      for (const id of ids.slice(0, fit - 1))
        await store.insertApproval({ ...pending(id), role: 'much' }, text);
      expect(await store.approvalText('apr_2')).toBe('delete from u');
      for (const id of ids.slice(fit - 1)) await store.insertApproval({ ...pending(id), role: 'much' }, text);
      const kept = await Promise.all(
        ['apr_1', 'apr_2', ids[0]!, ids.at(-1)!].map((id) => store.approvalText(id)),
      );
      expect(kept.map((each) => each?.slice(0, 13) ?? null)).toEqual([
        'delete from t',
        null,
        null,
        'xxxxxxxxxxxxx',
      ]);
    });

    it('keeps no text for a client that has given up', async () => {
      for (const state of ['canceled', 'disconnected', 'denied']) {
        await store.insertApproval(pending(`apr_${state}`), 'delete from t');
        await store.resolveApproval(`apr_${state}`, { state, atMs: 1, by: null, comment: null });
      }
      expect(await store.approvalText('apr_canceled')).toBeNull();
      expect(await store.approvalText('apr_disconnected')).toBeNull();
      expect(await store.approvalText('apr_denied')).toBe('delete from t');
    });

    describe('approvals that are over', () => {
      const DAY_MS = 86_400_000;
      const vote = (approvalId: string, atMs: number) =>
        store.voteApproval({
          ...{
            approvalId,
            principal: 'ana',
            person: 'ana',
            subject: null,
            lookedAt: null,
            verdict: 'approve',
            atMs,
            comment: null,
          },
          ...{ breakGlass: false, needed: 1, grantMs: 2 * DAY_MS, session: 'ses_1' },
        });
      const left = async () =>
        (await store.approvals({ state: null, beforeId: null, limit: 100 })).map(({ id }) => id).reverse();

      it('are dropped with all that is kept of them, oldest first, and no others', async () => {
        const row = (id: string, changes: object = {}) =>
          store.insertApproval(
            { ...approvalRow(id), createdAtMs: 0, expiresAtMs: 100 * DAY_MS, ...changes },
            'text',
          );
        await row('apr_1');
        await store.resolveApproval('apr_1', { state: 'denied', atMs: 1, by: 'ana', comment: null });
        await store.setApprovalPreview('apr_1', '{}', Buffer.from('rows'));
        await row('apr_2 pending');
        await row('apr_3 may be run', { mode: 'ticket', bindingKey: 'k', terms: 't' });
        await vote('apr_3 may be run', 1);
        await row('apr_4 ran late', { mode: 'ticket', bindingKey: 'l', terms: 't' });
        await vote('apr_4 ran late', 1);
        expect(await store.consumeGrant('apr_4 ran late', DAY_MS, 'ses_2')).toBe(true);
        await row('apr_5');
        await store.resolveApproval('apr_5', { state: 'timeout', atMs: 2, by: null, comment: null });
        await row('apr_6 lately');
        await store.resolveApproval('apr_6 lately', {
          state: 'denied',
          atMs: DAY_MS,
          by: 'ana',
          comment: null,
        });
        expect(await store.dropApprovals(DAY_MS, 1)).toBe(1);
        expect(await store.approvalPreview('apr_1')).toBeNull();
        expect(await store.approvalRowSet('apr_1')).toBeNull();
        expect(await store.approvalText('apr_1')).toBeNull();
        expect(await store.dropApprovals(DAY_MS, 10)).toBe(1);
        expect(await store.dropApprovals(DAY_MS, 10)).toBe(0);
        expect(await left()).toEqual(['apr_2 pending', 'apr_3 may be run', 'apr_4 ran late', 'apr_6 lately']);
        expect(await store.dropApprovals(3 * DAY_MS, 10)).toBe(3);
        expect(await left()).toEqual(['apr_2 pending']);
        // Nothing of one that is gone comes back with its name.
        await row('apr_3 may be run');
        expect((await store.approval('apr_3 may be run'))?.votes).toEqual([]);
      });
    });

    describe('previews', () => {
      it('are kept beside the approval, the last one alone', async () => {
        await store.setApprovalPreview('apr_1', '{"a":1}', Buffer.from('one'));
        await store.setApprovalPreview('apr_1', '{"a":2}', Buffer.from('two'));
        await store.setApprovalPreview('apr_3', '{}', null);
        await reopen();
        expect(Buffer.from((await store.approvalRowSet('apr_1'))!).toString()).toBe('two');
        expect(await store.approvalRowSet('apr_2')).toBeNull();
        expect(await store.approvalRowSet('apr_3')).toBeNull();
        expect(await store.approvalPreview('apr_1')).toBe('{"a":2}');
        expect(await store.approvalPreview('apr_2')).toBeNull();
      });

      it('give way to others only as long as nobody has decided by them', async () => {
        const replace = (id: string, body: string) =>
          store.replaceApprovalPreview(id, body, Buffer.from(body));
        expect(await replace('apr_none', '{}')).toBe(false);
        await store.insertApproval(ticket('apr_1'));
        await store.setApprovalPreview('apr_1', '{"a":1}', null);
        expect(await replace('apr_1', '{"a":2}')).toBe(true);
        await store.voteApproval(vote('ana', { needed: 2 }));
        expect(await replace('apr_1', '{"a":3}')).toBe(false);
        await store.insertApproval(ticket('apr_2', { bindingKey: 'two' }));
        await store.resolveApproval('apr_2', { state: 'timeout', atMs: 1, by: null, comment: null });
        expect(await replace('apr_2', '{"a":4}')).toBe(false);
        await reopen();
        expect(await store.approvalPreview('apr_1')).toBe('{"a":2}');
        expect(Buffer.from((await store.approvalRowSet('apr_1'))!).toString()).toBe('{"a":2}');
        expect(await store.approvalPreview('apr_2')).toBeNull();
      });

      it('are those that a vote was given on, or it is none', async () => {
        await store.insertApproval(ticket('apr_1'));
        const lookedAt = '2026-01-01T00:00:00Z';
        for (const computed of [null, '2026-01-01T00:00:01Z']) {
          if (computed !== null)
            await store.setApprovalPreview('apr_1', JSON.stringify({ computed_at: computed }), null);
          expect(await store.voteApproval(vote('ana', { lookedAt }))).toMatchObject({
            ...{ changed: false, isStale: true },
            row: { state: 'pending', votes: [] },
          });
        }
        await store.setApprovalPreview('apr_1', JSON.stringify({ computed_at: lookedAt }), null);
        expect(await store.voteApproval(vote('ana', { lookedAt }))).toMatchObject({
          row: { state: 'approved', votes: [{ principal: 'ana' }] },
        });
        // The answer to it may have been lost.
        expect((await store.voteApproval(vote('ana', { lookedAt: 'other' })))?.isStale).toBeUndefined();
      });
    });

    describe('restraints', () => {
      it('are kept until they are lifted or their time is over', async () => {
        const restraint = (id: string, untilMs: number | null) => ({
          id,
          kind: 'quarantine',
          createdAtMs: 1.5,
          untilMs,
          body: '{}',
        });
        for (const one of [restraint('qua_3', null), restraint('qua_1', 10), restraint('qua_2', null)])
          await store.insertRestraint(one);
        await store.liftRestraint('qua_2', { atMs: 2, by: 'token:ops', comment: null });
        await reopen();
        expect(await store.restraints(9)).toEqual([restraint('qua_1', 10), restraint('qua_3', null)]);
        expect((await store.restraints(10)).map(({ id }) => id)).toEqual(['qua_3']);
      });
    });

    describe('tokens and meta', () => {
      it('keeps a token once', async () => {
        const token = {
          name: 'ops',
          sha256: 'ab',
          scopes: ['*'],
          createdAtMs: 1,
          expiresAtMs: null,
          roles: ['app'],
          groups: ['dba'],
          createdBy: 'token:admin',
          person: 'ana',
          subject: 'https://login.example 7',
          makerSha256: 'ef',
        };
        expect(await store.insertToken(token)).toBe(true);
        expect(await store.insertToken({ ...token, sha256: 'cd' })).toBe(false);
        await store.insertToken({
          ...token,
          name: 'ci',
          scopes: ['audit:read', 'metrics:read'],
          expiresAtMs: 9,
          person: null,
          subject: null,
          makerSha256: null,
        });
        await reopen();
        expect(await store.tokens()).toEqual([
          {
            ...token,
            ...{ name: 'ci', scopes: ['audit:read', 'metrics:read'], expiresAtMs: 9 },
            ...{ person: null, subject: null, makerSha256: null },
          },
          token,
        ]);
      });

      it('keeps none that was deleted', async () => {
        const token = { name: 'ops', sha256: 'ab', scopes: ['*'], createdAtMs: 1, expiresAtMs: null };
        const maker = { createdBy: 'holdfast', person: null, subject: null, makerSha256: null };
        await store.insertToken({ ...token, roles: [], groups: [], ...maker });
        await store.deleteTokens(['nobody', 'ops']);
        expect(await store.tokens()).toEqual([]);
      });

      it('keeps values by key', async () => {
        expect(await store.meta('a')).toBeNull();
        await store.setMeta('a', '1');
        await store.setMeta('a', '2');
        await reopen();
        expect(await store.meta('a')).toBe('2');
      });
    });

    it('finishes what was asked before it closes, and refuses what is asked after', async () => {
      const asked = Array.from({ length: 100 }, (_, i) => store.setMeta(`k${i}`, 'v'));
      await store.close();
      await Promise.all(asked);
      await expect(store.meta('k1')).rejects.toMatchObject({ code: 'STORE_FAILED' });
      store = await under.open();
      expect(await store.meta('k99')).toBe('v');
    });
  });
}

const EVERYTHING = { beforeSeq: 2 ** 53, sinceMs: 0, untilMs: 1e15, bytesMax: 1e9 };

function bytes(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7) % 251));
}

/** A block whose first bytes are its number and whose times are its numbers times a thousand. */
function block(firstSeq: number, lastSeq: number, length = 100): AuditBlock & { bytes: Buffer } {
  const content = bytes(length);
  content.writeUInt32LE(firstSeq);
  return { firstSeq, lastSeq, firstTimeMs: firstSeq * 1000, lastTimeMs: lastSeq * 1000, bytes: content };
}

function pending(id: string): ApprovalRow {
  return {
    id,
    state: 'pending',
    mode: 'live',
    role: 'app',
    createdAtMs: 1.5,
    expiresAtMs: 1000,
    resolvedAtMs: null,
    resolvedBy: null,
    comment: null,
    bindingKey: null,
    terms: null,
    grantUntilMs: null,
    consumedAtMs: null,
    consumedBy: null,
    votes: [],
    body: `{"of":"${id}"}`,
  };
}

function ticket(id: string, changes: Partial<ApprovalRow> = {}): ApprovalRow {
  return { ...pending(id), mode: 'ticket', bindingKey: 'key', terms: 'terms', ...changes };
}

function vote(principal: string, changes: Partial<ApprovalVote> = {}): ApprovalVote {
  return {
    approvalId: 'apr_1',
    principal,
    person: principal,
    subject: null,
    verdict: 'approve',
    atMs: 5,
    comment: `by ${principal}`,
    breakGlass: false,
    needed: 1,
    grantMs: 100,
    session: 'ses_1',
    lookedAt: null,
    ...changes,
  };
}
