import { get, type IncomingMessage } from 'node:http';

export interface StreamEvent {
  readonly id: string;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: what the API sends is what the tests look into.
  readonly data: Record<string, any>;
}

export interface StreamReader {
  /** The next events, so many. */
  events(count: number): Promise<StreamEvent[]>;
  readonly ended: Promise<void>;
  close(): void;
}

/** A reader of /v1/events, as a browser is one. */
export async function openStream(port: number, token: string, lastEventId?: string): Promise<StreamReader> {
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (lastEventId !== undefined) headers['last-event-id'] = lastEventId;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/v1/events', headers }, resolve).once('error', reject);
  });
  const found: StreamEvent[] = [];
  let text = '';
  let wake = (): void => {};
  const ended = new Promise<void>((resolve) => response.once('close', resolve));
  response.on('error', () => {});
  response.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
    const frames = text.split('\n\n');
    text = frames.pop()!;
    found.push(...frames.flatMap(parsed));
    wake();
  });
  return {
    ended,
    async events(count) {
      while (found.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return found.splice(0, count);
    },
    close: () => response.destroy(),
  };
}

export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error('it did not come so within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function parsed(frame: string): StreamEvent[] {
  const fields = Object.fromEntries(
    frame.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
  const { id = '', event, data } = fields;
  return event === undefined || data === undefined ? [] : [{ id, event, data: JSON.parse(data) }];
}
