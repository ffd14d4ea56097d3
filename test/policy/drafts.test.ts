import { describe, expect, it } from 'vitest';
import { loadPolicy } from '../../src/policy/load.ts';
import { ETL, one, statement, text } from './support.ts';

const decide = (policy: string, analysis: ReturnType<typeof one>) =>
  loadPolicy(policy, 'p.yaml').forSession(ETL).decide(analysis);

describe('a rule that is a draft', () => {
  it('decides nothing, and says what it would do', () => {
    const policy = `rules:
      - { name: strict, draft: true, match: { role: [etl] }, action: block }
      - { name: real, match: { role: [etl] }, action: hold }`;
    expect(decide(policy, one({ risk: 'safe' }))).toMatchObject({
      action: 'hold',
      rule: 'real',
      draft: { rule: 'strict', action: 'block' },
    });
  });

  it('that matches nothing, or stands behind the rule that decides, leaves no note', () => {
    const policy = `rules:
      - { name: others, draft: true, match: { role: [nobody] }, action: block }
      - { name: real, match: { role: [etl] }, action: allow }
      - { name: behind, draft: true, match: { role: [etl] }, action: block }`;
    const decision = decide(policy, one({ risk: 'safe' }));
    expect(decision).toMatchObject({ action: 'allow', rule: 'real' });
    expect('draft' in decision).toBe(false);
  });

  it('is noted once, the first that matches, and over several statements the strictest', () => {
    const policy = `rules:
      - { name: first, draft: true, match: { risk: [low] }, action: snapshot }
      - { name: second, draft: true, match: { role: [etl] }, action: hold }
      - { name: third, draft: true, match: { role: [etl] }, action: block }`;
    expect(decide(policy, one({ risk: 'low' })).draft).toEqual({ rule: 'first', action: 'snapshot' });
    const both = text([statement({ risk: 'low' }), statement({ risk: 'safe' })]);
    expect(decide(policy, both).draft).toEqual({ rule: 'second', action: 'hold' });
  });

  it('does not loosen what is decided, and is noted in mode monitor too', () => {
    const policy = `mode: monitor
rules: [{ name: open, draft: true, match: { role: [etl] }, action: allow }]`;
    expect(decide(policy, one({ risk: 'critical' }))).toMatchObject({
      action: 'allow',
      wouldBe: 'hold',
      rule: 'default:critical',
      draft: { rule: 'open', action: 'allow' },
    });
  });
});
