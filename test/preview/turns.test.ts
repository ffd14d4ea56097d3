import { expect, it } from 'vitest';
import { Turns } from '../../src/preview/turns.ts';

it('lets so many through at a time, in order, and forgets who has left', async () => {
  const turns = new Turns(2);
  const never = new Promise<void>(() => {});
  const through: string[] = [];
  const take = async (name: string, left: Promise<void> = never) => {
    through.push(`${name} ${await turns.take(left)}`);
  };
  await take('a');
  await take('b');
  const leaving = Promise.withResolvers<void>();
  const waiting = [take('c'), take('d', leaving.promise), take('e')];
  leaving.resolve();
  await waiting[1];
  turns.give();
  await waiting[0];
  turns.give();
  await waiting[2];
  expect(through).toEqual(['a true', 'b true', 'd false', 'c true', 'e true']);
  turns.give();
  turns.give();
  await take('f');
  await take('g');
  expect(through.slice(5)).toEqual(['f true', 'g true']);
});
