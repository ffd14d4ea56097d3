import { LIMITS } from '../../base/limits.ts';
import { encodeCancelRequest } from '../../wire/startup.ts';
import type { Link } from './link.ts';
import { connectUpstream, type UpstreamTarget } from './upstream.ts';

/**
 * Passes a CancelRequest on to the server. The client's connection is closed only after the server has closed
 * its own, because clients take that for the sign that the request has been handled.
 */
export async function relayCancel(
  client: Link,
  target: UpstreamTarget,
  request: { readonly processId: number; readonly secretKey: Buffer },
): Promise<void> {
  try {
    const upstream = await connectUpstream(target);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => upstream.destroy(), LIMITS.cancelTimeoutMs);
      upstream.handler = {
        onBytes() {},
        onEnd: () => upstream.end(),
        onClose: () => {
          clearTimeout(timer);
          resolve();
        },
        onDrain() {},
      };
      upstream.resume();
      upstream.write(encodeCancelRequest(request.processId, request.secretKey));
      if (upstream.socket.destroyed) resolve();
    });
  } finally {
    client.end();
    client.destroy();
  }
}
