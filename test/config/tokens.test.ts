import { describe, expect, it } from 'vitest';
import { loadTokensFile, parseTokens, tokensSchema } from '../../src/config/tokens.ts';
import { expectJsonSchema } from '../fixtures/golden.ts';

const HASH = 'A'.repeat(64);
const token = (more: string): string => `tokens:\n  - { name: ops, sha256: ${HASH}, ${more} }\n`;

function faultOf(text: string): string {
  try {
    parseTokens(text, 'tokens.yaml');
    return 'loaded';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('tokens', () => {
  it('have a name, a hash, scopes, and perhaps an end, roles and groups', () => {
    expect(
      parseTokens(token('scopes: ["*"], expires: 2031-01-31, roles: [app], groups: [dba]'), 't'),
    ).toEqual([
      {
        name: 'ops',
        sha256: HASH.toLowerCase(),
        scopes: ['*'],
        expiresAtMs: Date.UTC(2031, 0, 31),
        roles: ['app'],
        groups: ['dba'],
        person: 'ops',
        source: 'file',
      },
    ]);
  });

  it('may be none', () => {
    expect(parseTokens('tokens: []', 't')).toEqual([]);
  });

  it.each([
    ['', 'tokens.yaml:1:1: "tokens" is missing'],
    [token('scopes: [root]'), 'expected a known name, found "root"'],
    [token('scopes: []'), 'the list is empty'],
    [token('scopes: ["*"], expires: tomorrow'), 'expected a date or a time with its zone'],
    [token('scopes: ["*"], expires: 2031-01-31T00:00:00'), 'expected a date or a time with its zone'],
    [token('scopes: ["*"], role: app'), 'unknown key "role"; did you mean "roles"?'],
    [
      `${token('scopes: ["*"]')}  - { name: ops, sha256: ${'b'.repeat(64)}, scopes: ["*"] }`,
      'tokens.yaml:3:13: another token has the same name',
    ],
  ])('%# are refused: %s', (text, message) => {
    expect(faultOf(text)).toContain(message);
  });

  it('that stand there themselves, without their hash, are not repeated in the error', () => {
    expect(faultOf('tokens: [{ name: a, sha256: hunter2, scopes: ["*"] }]')).toBe(
      "tokens.yaml:1:29: expected the token's SHA-256 as 64 hex digits, not the token itself",
    );
    expect(faultOf('tokens: [{ name: a, sha256: 123456, scopes: ["*"] }]')).not.toContain('123456');
  });

  it('are shown how in an example that loads', () => {
    expect(loadTokensFile('config/tokens.example.yaml')).toHaveLength(2);
  });

  it('config/tokens.schema.json is what the code says', () => {
    expectJsonSchema('config/tokens.schema.json', tokensSchema);
  });
});
