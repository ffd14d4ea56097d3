export const WEBHOOK_EVENTS = [
  'approval.requested',
  'approval.voted',
  'approval.resolved',
  'pause.begun',
  'pause.lifted',
  'quarantine.begun',
  'quarantine.lifted',
] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

/** Somewhere to be told of what happens. Its URL may be as secret as its key, so that neither is ever shown. */
export interface Webhook {
  readonly name: string;
  readonly url: string;
  readonly format: 'json' | 'slack';
  /** What the receiver knows our messages by, or null. */
  readonly key: Buffer | null;
  readonly events: readonly WebhookEvent[];
  /** Whether messages have the text of statements, with whatever values stand in it. */
  readonly statements: boolean;
}

export interface WebhookTerms {
  readonly timeoutMs: number;
  /** Before the second attempt; each further wait is twice as long, up to the other. */
  readonly retryFromMs: number;
  readonly retryUpToMs: number;
  /** What is older is given up. */
  readonly giveUpAfterMs: number;
}

export interface Webhooks {
  readonly all: readonly Webhook[];
  readonly terms: WebhookTerms;
}
