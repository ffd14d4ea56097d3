import { nowMs } from '../base/clock.ts';
import { signedHeaders } from './signature.ts';
import type { Webhook } from './webhook.ts';

export type Delivery =
  | { readonly kind: 'delivered' }
  /** In words that have nothing of the URL. */
  | {
      readonly kind: 'failed';
      readonly why: string;
      readonly retryAfterMs: number;
      /** It is this message that is not taken, by a receiver that is well. */
      readonly refused: boolean;
    };

/** Of 400 to 499 those that say that the receiver has no time. */
const NO_TIME: ReadonlySet<number> = new Set([408, 425, 429]);

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
    const { status } = response;
    const refused = status >= 400 && status < 500 && !NO_TIME.has(status);
    return { kind: 'failed', why: `status ${status}`, retryAfterMs, refused };
  } catch (error) {
    return { kind: 'failed', why: causeOf(error, url), retryAfterMs: 0, refused: false };
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
