import { z } from 'zod';
import { safeUrl } from '../admin/oidc.ts';
import { LIMITS } from '../base/limits.ts';
import { WEBHOOK_EVENTS, type Webhook, type Webhooks } from '../notify/webhook.ts';
import { DURATION_HINT, parseDurationMs } from '../policy/duration.ts';
import { explainIssues, toProblem } from '../policy/explain-issues.ts';
import { judged, parsedBy, wrong } from '../policy/judged.ts';
import { readSettings } from '../policy/load.ts';
import { InvalidSettings } from '../policy/problems.ts';
import { readYaml } from '../policy/strict-yaml.ts';

export const NO_WEBHOOKS: Webhooks = Object.freeze({
  all: [],
  terms: {
    timeoutMs: 10_000,
    retryFromMs: 1_000,
    retryUpToMs: 5 * 60_000,
    giveUpAfterMs: 3 * 24 * 60 * 60_000,
  },
});

/** The messages never repeat what is there, which may be a secret. */
const url = judged((text) =>
  safeUrl(text) === null ? 'expected an https URL, or http to this machine, without user or password' : null,
);

const KEY_HINT =
  'expected whsec_ and at least 24 bytes in base64, as `echo whsec_$(openssl rand -base64 32)` prints';

const key = parsedBy((text) => {
  const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1];
  const bytes = base64 === undefined ? null : Buffer.from(base64, 'base64');
  return bytes === null || bytes.length < LIMITS.webhookKeyBytesMin
    ? wrong(KEY_HINT)
    : { ok: true, value: bytes };
});

const duration = parsedBy((text) => {
  const ms = parseDurationMs(text);
  return ms === null || ms === 0 || ms > LIMITS.holdTimeoutMaxMs
    ? wrong(DURATION_HINT)
    : { ok: true, value: ms };
}, DURATION_HINT);

export const webhooksSchema = z
  .strictObject({
    webhooks: z.array(
      z.strictObject({
        name: judged((text) =>
          /^[a-z0-9][a-z0-9_-]{0,62}$/.test(text) ? null : 'expected a name of a-z 0-9 _ -',
        ).describe('Shown in the log; unique. Another name is another webhook.'),
        url: url.describe('Where messages are sent.'),
        key: key.describe('Signs messages, whsec_ and base64.').optional(),
        format: z.enum(['json', 'slack']).optional(),
        events: z.array(z.enum(WEBHOOK_EVENTS)).min(1).describe('All of them, if left out.').optional(),
        statements: z.boolean().describe('Whether messages have the text of statements.').optional(),
      }),
    ),
    timeout: duration.describe('How long a webhook may take to answer.').optional(),
    retry_from: duration
      .describe('Before the second attempt; each further wait is twice as long.')
      .optional(),
    retry_up_to: duration.describe('The longest wait.').optional(),
    give_up_after: duration.describe('What is older and not taken is given up.').optional(),
  })
  .meta({ title: 'Holdfast webhooks' });

export function parseWebhooks(text: string, fileName: string): Webhooks {
  const file = readYaml(text, fileName);
  if (file.fatal) throw new InvalidSettings('CONFIG_INVALID', file.problems);
  const parsed = webhooksSchema.safeParse(file.value ?? {});
  const problems = [...file.problems];
  if (!parsed.success) {
    const findings = explainIssues(webhooksSchema, parsed.error.issues, file.value ?? {});
    problems.push(...findings.map((finding) => toProblem(file, finding)));
  }
  const { webhooks, ...terms }: z.output<typeof webhooksSchema> = parsed.success
    ? parsed.data
    : { webhooks: [] };
  webhooks.forEach(({ name, format, key }, index) => {
    if (webhooks.findIndex((other) => other.name === name) < index)
      problems.push(file.problemAt(['webhooks', index, 'name'], 'another webhook has the same name'));
    if (key === undefined && format !== 'slack')
      problems.push(file.problemAt(['webhooks', index], 'a webhook that is not Slack needs a key'));
  });
  if (problems.length > 0) throw new InvalidSettings('CONFIG_INVALID', problems);
  const otherwise = NO_WEBHOOKS.terms;
  return Object.freeze({
    all: webhooks.map(
      ({ name, url, key, format, events, statements }): Webhook => ({
        name,
        url,
        key: key ?? null,
        format: format ?? 'json',
        events: events ?? WEBHOOK_EVENTS,
        statements: statements ?? false,
      }),
    ),
    terms: {
      timeoutMs: terms.timeout ?? otherwise.timeoutMs,
      retryFromMs: terms.retry_from ?? otherwise.retryFromMs,
      retryUpToMs: terms.retry_up_to ?? otherwise.retryUpToMs,
      giveUpAfterMs: terms.give_up_after ?? otherwise.giveUpAfterMs,
    },
  });
}

export function loadWebhooksFile(path: string): Webhooks {
  return parseWebhooks(readSettings(path, 'CONFIG_INVALID'), path);
}
