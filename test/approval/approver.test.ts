import { describe, expect, it } from 'vitest';
import { ownership, whyNotApprove } from '../../src/approval/approver.ts';
import { BINDING, person } from './wanted.ts';

describe('somebody owns a role', () => {
  it.each([
    ['app', 'app', [], 'name'],
    ['App', 'App', [], 'name'],
    ['oidc:app', 'app', [], 'name'],
    ['one', 'app', [], 'name'],
    ['ops', 'ops', ['app'], 'role'],
    ['ops', 'ops', ['a*'], 'role'],
    ['ops', 'ops', ['a\\'], null],
    ['application', 'application', ['apps'], null],
  ] as const)('%s, who is %s, with the roles %j: %s', (by, who, roles, owns) => {
    expect(ownership({ by, person: who, roles }, 'app')).toBe(owns);
  });

  it('whose name is written as a pattern', () => {
    expect(ownership({ by: 'ops', person: 'ops', roles: ['a[p'] }, 'a[p')).toBe('role');
    expect(ownership({ by: 'ops', person: 'ops', roles: ['a\\p'] }, 'a\\p')).toBe('role');
  });
});

describe('somebody with two names', () => {
  const vote = {
    principal: 'one',
    person: 'ana',
    subject: null,
    verdict: 'approve',
    atMs: 0,
    comment: null,
  } as const;
  const asked = { role: 'app', binding: BINDING, approvers: null, state: 'pending' } as const;
  const approval = { ...asked, votes: [{ ...vote, breakGlass: false }] };
  const two = person('two', null, { person: 'ana' });

  it('approves under one of them, and may say so again', () => {
    expect(whyNotApprove(approval, two)).toBe(
      "two is the same person as one, who has approved it already: one has made the other's token, or somebody both",
    );
    expect(whyNotApprove(approval, person('two', null, { person: 'Ana' }))).toMatch(
      /is the same person as one/,
    );
    expect(whyNotApprove(approval, person('one', null, { person: 'ana' }))).toBeNull();
    expect(whyNotApprove(approval, person('ben'))).toBeNull();
  });

  it('is known by their subject, whatever they are called by now', () => {
    const known = { ...approval, votes: [{ ...approval.votes[0]!, subject: 'i 7' }] };
    const asks = (by: string, who: string, subject: string | null) =>
      whyNotApprove(known, person(by, null, { person: who, subject }));
    expect(asks('bella', 'bella', 'i 7')).toBe(
      'bella is the same person as one, who has approved it already: their issuer knows both as one',
    );
    expect(asks('bella', 'bella', 'j 7')).toBeNull();
    expect(asks('other', 'ana', 'i 8'), 'another of that name').toBeNull();
    expect(asks('other', 'ana', null), 'who may be the same').toMatch(/is the same person as one/);
  });

  it('may break the glass, and hear what has been decided', () => {
    expect(whyNotApprove(approval, { ...two, breakGlass: true })).toBeNull();
    expect(whyNotApprove({ ...approval, state: 'approved' }, two)).toBeNull();
  });
});
