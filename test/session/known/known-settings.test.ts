import { expect, it } from 'vitest';
import { KnownSettings } from '../../../src/session/known/known-settings.ts';

/** As with a server that does not tell its search_path. */
function atStart(): KnownSettings {
  return new KnownSettings(new Map(), null);
}

function begin(settings: KnownSettings): void {
  settings.ready('T', true, -1);
}

function commit(settings: KnownSettings): void {
  settings.transactionEnds();
  settings.ready('I', true, -1);
}

function answer(settings: KnownSettings): void {
  settings.answered('UTF8', 'on', '"$user", public', 'transaction');
}

it('what the server has answered in a transaction stands behind it, where nothing in it has touched that', () => {
  const settings = atStart();
  begin(settings);
  expect(settings.inDoubt).toBe(true);
  answer(settings);
  commit(settings);
  expect(settings.inDoubt).toBe(false);
});

it.each<[string, (settings: KnownSettings) => void]>([
  ['code', (settings) => settings.codeRuns()],
  ['a SET', (settings) => settings.pathSet(null)],
  ['a RESET', (settings) => settings.pathReset()],
])('it does not where %s in the transaction has', (_, touch) => {
  const settings = atStart();
  begin(settings);
  touch(settings);
  settings.ready('T', true, -1);
  answer(settings);
  commit(settings);
  expect(settings.inDoubt).toBe(true);
});

it('nor where code was still under way when the last transaction ended', () => {
  const settings = atStart();
  settings.codeRuns();
  settings.ready('I', false, -1);
  begin(settings);
  answer(settings);
  commit(settings);
  expect(settings.inDoubt).toBe(true);
});
