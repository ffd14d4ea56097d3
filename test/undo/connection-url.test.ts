import { expect, it } from 'vitest';
import { connectionAttempts, withDatabase } from '../../src/undo/connection-url.ts';

it.each([
  ['postgres://u@h', ['postgres://u@h?sslmode=prefer&uselibpqcompat=true', 'postgres://u@h?sslmode=disable']],
  ['postgres://u@h/d?sslmode=disable', ['postgres://u@h/d?sslmode=disable']],
  ['postgres://u@h/d?sslmode=require', ['postgres://u@h/d?sslmode=require&uselibpqcompat=true']],
  ['postgres://u@h/d?ssl=true', ['postgres://u@h/d?ssl=true']],
  ['postgres://u@%2Fvar%2Frun/d', ['postgres://u@%2Fvar%2Frun/d']],
])('%s is tried as libpq would', (url, attempts) => {
  expect(connectionAttempts(url)).toEqual(attempts);
});

it.each([
  ['postgres://u@h:5432', 'postgres://u@h:5432/my%20shop'],
  ['postgres://u@h/?sslmode=disable', 'postgres://u@h/my%20shop?sslmode=disable'],
  ['postgres://u@h/other', 'postgres://u@h/other'],
])('%s goes to the database of the snapshot if it names none', (url, expected) => {
  expect(withDatabase(url, 'my shop')).toBe(expected);
});
