import { describe, expect, it } from 'vitest';
import { findExecution, noExecution } from '../../src/wire/execution.ts';
import * as fe from '../support/frontend-messages.ts';

/** What is found in these messages, behind others and in front of what was in the buffer before. */
function found(...messages: readonly Buffer[]) {
  const before = fe.query('SELECT 0');
  const sent = Buffer.concat(messages);
  const bytes = Buffer.concat([before, sent, ...[fe.describe('P', ''), fe.execute(), fe.sync()]]);
  const execution = noExecution();
  const end = before.length + sent.length;
  if (!findExecution(bytes, before.length, end, execution)) return null;
  const { textStart, textEnd, nameStart, nameEnd, parameters, describes } = execution;
  return {
    text: textStart < 0 ? null : bytes.toString('utf8', textStart, textEnd),
    name: bytes.toString('utf8', nameStart, nameEnd),
    ...{ parameters, describes, isAll: execution.end === end },
  };
}

const END = [fe.execute(), fe.sync()];
const DESCRIBE = fe.describe('P', '');

describe('one execution', () => {
  it('is found with and without its Parse and its Describe', () => {
    expect(found(fe.bind({ statement: 's', parameters: ['1', null] }), DESCRIBE, ...END)).toEqual({
      ...{ text: null, name: 's', parameters: 2, describes: true, isAll: true },
    });
    expect(found(fe.bind({ statement: 's' }), ...END)).toMatchObject({ parameters: 0, describes: false });
    expect(found(fe.parse('', 'SELECT 1'), fe.bind(), DESCRIBE, ...END)).toEqual({
      ...{ text: 'SELECT 1', name: '', parameters: 0, describes: true, isAll: true },
    });
    expect(found(fe.parse('', ''), fe.bind(), ...END)).toMatchObject({ text: '', describes: false });
  });

  it('ends with its Sync, whatever comes behind it', () => {
    const second = [fe.parse('', 'SELECT 2'), fe.bind(), ...END];
    expect(found(fe.parse('', 'SELECT 1'), fe.bind(), ...END, ...second)).toMatchObject({
      ...{ text: 'SELECT 1', isAll: false },
    });
  });

  it('is not found as long as it is not there whole, whatever stands behind that in the buffer', () => {
    const sent = Buffer.concat([fe.parse('', 'SELECT 1'), fe.bind({ parameters: ['1'] }), DESCRIBE, ...END]);
    for (let end = 0; end < sent.length; end++) {
      expect(findExecution(sent, 0, end, noExecution())).toBe(false);
      expect(found(sent.subarray(0, end))).toBeNull();
    }
  });

  it.each([
    ['a Parse of another name', [fe.parse('s', 'SELECT 1'), fe.bind({ statement: 's' }), ...END]],
    ['a Parse that declares types', [fe.parse('', 'SELECT $1', [23]), fe.bind(), ...END]],
    ['a Parse, and a Bind of another', [fe.parse('', 'SELECT 1'), fe.bind({ statement: 's' }), ...END]],
    ['a Parse alone', [fe.parse('', 'SELECT 1'), fe.sync()]],
    ['a Parse without a text', [fe.message('P', Buffer.of(0)), fe.bind(), ...END]],
    ['a portal with a name', [fe.bind({ portal: 'p' }), fe.describe('P', 'p'), fe.execute('p'), fe.sync()]],
    ['a Describe of the statement', [fe.bind(), fe.describe('S', ''), ...END]],
    ['a Describe of another portal', [fe.bind(), fe.describe('P', 'p'), ...END]],
    ['two of them', [fe.bind(), DESCRIBE, DESCRIBE, ...END]],
    ['an Execute of another portal', [fe.bind(), fe.execute('p'), fe.sync()]],
    ['an Execute of some rows', [fe.bind(), fe.execute('', 1), fe.sync()]],
    ['two of them', [fe.bind(), fe.execute(), ...END]],
    ['an Execute cut short', [fe.bind(), fe.message('E', Buffer.of(0, 0, 0)), fe.sync()]],
    ['a Flush', [fe.bind(), fe.execute(), fe.flush(), fe.sync()]],
    ['a Sync with a body', [fe.bind(), fe.execute(), fe.message('S', Buffer.of(0))]],
    ['a Bind cut short', [fe.message('B', Buffer.of(0, 0, 0)), ...END]],
    ['a Bind without its second name', [fe.message('B', Buffer.of(0, 65)), ...END]],
    ['a Query', [fe.query('SELECT 1'), ...END]],
  ])('is none with %s', (_what, messages) => {
    expect(found(...messages)).toBeNull();
  });

  it('is none where a length says less than a header has', () => {
    const sent = Buffer.concat([fe.bind({ statement: 's' }), ...END]);
    for (const length of [0, 3, 0x7fffffff, 0xffffffff]) {
      sent.writeUInt32BE(length, 1);
      expect(found(sent)).toBeNull();
    }
  });
});
