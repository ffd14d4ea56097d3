import { expect, it } from 'vitest';
import { type TurnKind, Turns } from '../../src/preview/turns.ts';

const NEVER = new Promise<void>(() => {});

/** Who came through, and who did not, in order. */
class Waiters {
  readonly through: string[] = [];
  readonly turns: Turns;
  constructor(previewsMax: number, allMax: number) {
    this.turns = new Turns(previewsMax, allMax);
  }

  async take(kind: TurnKind, role: string, name = role, left: Promise<void> = NEVER): Promise<void> {
    this.through.push(`${name} ${await this.turns.take(kind, role, left)}`);
  }

  async give(): Promise<void> {
    this.turns.give();
    await Promise.resolve();
    await Promise.resolve();
  }
}

it('lets so many through at a time, in order, and forgets who has left', async () => {
  const w = new Waiters(2, 2);
  await w.take('preview', 'a');
  await w.take('preview', 'a', 'b');
  const leaving = Promise.withResolvers<void>();
  const waiting = [
    w.take('preview', 'a', 'c'),
    w.take('preview', 'a', 'd', leaving.promise),
    w.take('preview', 'a', 'e'),
  ];
  leaving.resolve();
  await waiting[1];
  await w.give();
  await w.give();
  await Promise.all(waiting);
  expect(w.through).toEqual(['a true', 'b true', 'd false', 'c true', 'e true']);
  await w.give();
  await w.give();
  await w.take('preview', 'f');
  await w.take('preview', 'g');
  expect(w.through.slice(5)).toEqual(['f true', 'g true']);
});

it('lets roles take turns, whoever of them has many', async () => {
  const w = new Waiters(1, 1);
  await w.take('preview', 'agent', 'agent 0');
  for (let i = 1; i <= 200; i++) void w.take('preview', 'agent', `agent ${i}`);
  void w.take('preview', 'ann');
  void w.take('preview', 'bob');
  void w.take('preview', 'ann', 'ann again');
  for (let i = 0; i < 6; i++) await w.give();
  expect(w.through).toEqual([
    ...['agent 0 true', 'agent 1 true', 'ann true', 'bob true'],
    ...['agent 2 true', 'ann again true', 'agent 3 true'],
  ]);
});

it('lets rows of approved statements be counted before and beside all previews', async () => {
  const w = new Waiters(2, 3);
  for (let i = 0; i < 9; i++) void w.take('preview', 'agent', `preview ${i}`);
  await w.take('count', 'ann');
  expect(w.through).toEqual(['preview 0 true', 'preview 1 true', 'ann true']);
  void w.take('count', 'bob');
  await w.give();
  expect(w.through.slice(3)).toEqual(['bob true']);
  // Of three turns that are taken one is no longer; two are as many as previews may have.
  await w.give();
  expect(w.through.slice(4)).toEqual([]);
  await w.give();
  expect(w.through.slice(4)).toEqual(['preview 2 true']);
});
