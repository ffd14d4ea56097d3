import { createHmac } from 'node:crypto';

/** The headers by which a receiver knows who has sent a message, when, and whether it has had it (Standard Webhooks). */
export function signedHeaders(
  id: string,
  body: string,
  key: Buffer | null,
  nowMs: number,
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(nowMs / 1000));
  const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'idempotency-key': id };
  if (key === null) return headers;
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { ...headers, 'webhook-signature': `v1,${signature}` };
}
