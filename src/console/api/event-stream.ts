/** One event of a stream as HTML has it (text/event-stream). */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/**
 * Reads events out of a stream's text, of which a piece may end anywhere. The browser's own EventSource cannot send a
 * token in a header.
 */
export class EventStreamParser {
  #rest = '';
  #name = '';
  #data: string[] = [];

  push(text: string): ServerEvent[] {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    const events: ServerEvent[] = [];
    for (const line of lines) {
      const event = this.#take(line);
      if (event !== null) events.push(event);
    }
    return events;
  }

  #take(line: string): ServerEvent | null {
    if (line === '') return this.#end();
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'event') this.#name = value;
    if (field === 'data') this.#data.push(value);
    return null;
  }

  #end(): ServerEvent | null {
    const event = { name: this.#name || 'message', data: this.#data.join('\n') };
    const isEmpty = this.#data.length === 0;
    this.#name = '';
    this.#data = [];
    return isEmpty ? null : event;
  }
}

/** Gives each event until the stream ends, or has been silent for so long that it must be dead. */
export async function readEvents(
  response: Response,
  silenceMs: number,
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  const parser = new EventStreamParser();
  for (;;) {
    const silence = Promise.withResolvers<null>();
    const timer = setTimeout(() => silence.resolve(null), silenceMs);
    const read = await Promise.race([reader.read(), silence.promise]).finally(() => clearTimeout(timer));
    if (read === null || read.done) {
      await reader.cancel().catch(() => {});
      return;
    }
    for (const event of parser.push(read.value)) onEvent(event);
  }
}
