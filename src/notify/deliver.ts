import { nowMs } from '../base/clock.ts';
import { signedHeaders } from './signature.ts';
import type { Webhook } from './webhook.ts';

export type Delivery =
  | { readonly kind: 'delivered' }
  /** In words that have nothing of the URL. */
  | { readonly kind: 'failed'; readonly why: string; readonly retryAfterMs: number };

/**
 * One attempt. Anything in 200 to 299 is a receipt; a redirect is none, because it would take what is told to where
 * nobody has configured. What the receiver says is not read.
 */
export async function deliver(
  { url, key }: Webhook,
  id: string,
  body: string,
  timeoutMs: number,
  stop: AbortSignal,
): Promise<Delivery> {
  const headers = { 'content-type': 'application/json', 'user-agent': 'holdfast' };
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, ...signedHeaders(id, body, key, nowMs()) },
      body,
      redirect: 'manual',
      signal: AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]),
    });
    void response.body?.cancel().catch(() => {});
    if (response.ok) return { kind: 'delivered' };
    const seconds = Number(response.headers.get('retry-after') ?? 0);
    const retryAfterMs = Number.isFinite(seconds) ? Math.max(0, seconds) * 1000 : 0;
    return { kind: 'failed', why: `status ${response.status}`, retryAfterMs };
  } catch (error) {
    return { kind: 'failed', why: causeOf(error, url), retryAfterMs: 0 };
  }
}

function causeOf(error: unknown, url: string): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const { code, name, message } = cause as { code?: unknown; name?: unknown; message?: unknown };
  if (typeof code === 'string') return code;
  // A time-out says so by its name; what else there is has a sentence.
  return name === 'Error'
    ? String(message).replaceAll(url, 'the URL').slice(0, 200)
    : String(name ?? 'unknown');
}
