import { describe, expect, it } from 'vitest';
import { loadWebhooksFile, parseWebhooks, webhooksSchema } from '../../src/config/webhooks.ts';
import { expectJsonSchema } from '../fixtures/golden.ts';

const KEY = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const one = (more: string): string => `webhooks:\n  - { name: oncall, ${more} }\n`;

function faultOf(text: string): string {
  try {
    parseWebhooks(text, 'webhooks.yaml');
    return 'loaded';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('webhooks', () => {
  it('have a name, a URL and a key, and perhaps a form, events and statements', () => {
    const text = `${one(`url: "https://hooks.example/x", key: "${KEY}", events: [pause.begun]`)}retry_from: 2s\n`;
    expect(parseWebhooks(text, 'w')).toEqual({
      all: [
        {
          name: 'oncall',
          url: 'https://hooks.example/x',
          key: Buffer.alloc(32, 7),
          format: 'json',
          events: ['pause.begun'],
          statements: false,
        },
      ],
      terms: { timeoutMs: 10_000, retryFromMs: 2_000, retryUpToMs: 300_000, giveUpAfterMs: 259_200_000 },
    });
  });

  it.each([
    [one('url: "https://h.example"'), 'a webhook that is not Slack needs a key'],
    [one(`url: "http://h.example", key: "${KEY}"`), 'expected an https URL, or http to this machine'],
    [one(`url: "https://u:hunter2@h.example", key: "${KEY}"`), 'without user or password'],
    [one('url: "https://h.example", key: hunter2'), 'expected whsec_ and at least 24 bytes'],
    [one('url: "https://h.example", key: whsec_aGk='), 'expected whsec_ and at least 24 bytes'],
    [`${one('url: "https://h.example", format: slack')}timeout: 10`, 'expected a duration'],
    [
      `${one('url: "https://h.example", format: slack')}  - { name: oncall, url: "https://i.example", format: slack }`,
      'webhooks.yaml:3:13: another webhook has the same name',
    ],
  ])('%# are refused', (text, message) => {
    expect(faultOf(text)).toContain(message);
    expect(faultOf(text)).not.toContain('hunter2');
  });

  it('are shown how in an example that loads', () => {
    expect(loadWebhooksFile('config/webhooks.example.yaml').all).toHaveLength(2);
  });

  it('config/webhooks.schema.json is what the code says', () => {
    expectJsonSchema('config/webhooks.schema.json', webhooksSchema);
  });
});
