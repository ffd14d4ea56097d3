import { expect, it } from 'vitest';
import { EventStreamParser } from '../../src/console/api/event-stream.ts';

const STREAM =
  'id: 1\nevent: approval\ndata: {"a":1}\n\n: still here\n\nevent:status\r\ndata: x\r\ndata: y\r\n\r\ndata: 2\n\n';

it.each([1, 2, 3, 7, 1000])('reads events out of pieces of %i characters', (size) => {
  const parser = new EventStreamParser();
  const events = [];
  for (let at = 0; at < STREAM.length; at += size) events.push(...parser.push(STREAM.slice(at, at + size)));
  expect(events).toEqual([
    { name: 'approval', data: '{"a":1}' },
    { name: 'status', data: 'x\ny' },
    { name: 'message', data: '2' },
  ]);
});
