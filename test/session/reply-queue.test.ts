import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Reply, ReplyKind, ReplyQueue } from '../../src/session/replies.ts';

const kind = fc.constantFrom(...Object.values(ReplyKind));

describe('ReplyQueue', () => {
  it('is empty at first', () => {
    const queue = new ReplyQueue();
    expect(queue.length).toBe(0);
    expect(queue.head).toBeNull();
  });

  it('gives replies back in order while it grows, and from wherever its ring begins', () => {
    const queue = new ReplyQueue();
    for (let i = 0; i < 11; i++) queue.push(ReplyKind.Parse);
    for (let i = 0; i < 11; i++) queue.shift();
    for (let i = 0; i < 1_000; i++) queue.push(ReplyKind.Bind).statementsDone = i;
    for (let i = 0; i < 1_000; i++) {
      expect(queue.at(0)).toBe(queue.head);
      expect(queue.head?.statementsDone).toBe(i);
      queue.shift();
    }
    expect(queue.head).toBeNull();
  });

  it('uses its objects again, with nothing left of what they were', () => {
    const queue = new ReplyQueue();
    const untouched = { ...new ReplyQueue().push(ReplyKind.Sync) };
    const seen = new Set<Reply>();
    for (let i = 0; i < 100; i++) {
      const reply = queue.push(ReplyKind.Sync);
      expect({ ...reply }).toEqual(untouched);
      seen.add(reply);
      Object.assign(reply, {
        hidden: true,
        poison: { C: '42501' },
        swallowed: true,
        dataBehind: true,
        failed: true,
        copyIn: true,
        audit: {},
        lastAudit: {},
        analysis: {},
        decision: {},
        statementsDone: 7,
        name: 'x',
        of: 'portal',
        statement: {},
        portal: {},
        segment: 7,
        trustsPath: 7,
        sqlNames: [],
        exchange: {},
        gate: {},
      });
      queue.shift();
      // Texts are given up at once, not when the object is used again.
      expect({ ...reply }).toEqual(untouched);
    }
    expect(seen.size).toBeLessThanOrEqual(16);
  });

  it('removes what stands behind its head and keeps the rest', () => {
    for (let ahead = 0; ahead < 16; ahead++) {
      const queue = new ReplyQueue();
      for (let i = 0; i < ahead; i++) queue.push(ReplyKind.Sync);
      for (let i = 0; i < ahead; i++) queue.shift();
      for (let i = 0; i < 6; i++) queue.push(ReplyKind.Parse).statementsDone = i;
      queue.removeBehindHead(2);
      const left = Array.from({ length: queue.length }, (_, i) => queue.at(i).statementsDone);
      expect(left).toEqual([0, 3, 4, 5]);
      expect(new Set(Array.from({ length: 16 }, () => queue.push(ReplyKind.Bind))).size).toBe(16);
    }
  });

  it('is a queue, whatever is done to it', () => {
    fc.assert(
      fc.property(fc.array(fc.option(kind, { nil: null }), { maxLength: 400 }), (steps) => {
        const queue = new ReplyQueue();
        const model: number[] = [];
        for (const step of steps) {
          if (step !== null) {
            queue.push(step);
            model.push(step);
          } else if (model.length > 0) {
            queue.shift();
            model.shift();
          }
          expect(queue.length).toBe(model.length);
          expect(queue.head?.kind ?? null).toBe(model[0] ?? null);
        }
        expect(model.map((_, i) => queue.at(i).kind)).toEqual(model);
      }),
    );
  });
});
