import { LIMITS } from '../base/limits.ts';

/** Something that those who watch are told of: where to look, and not what is to be seen there. */
export interface HubEvent {
  readonly event: 'approval' | 'pause' | 'quarantine';
  readonly data: Readonly<Record<string, unknown>>;
}

interface Kept {
  readonly number: number;
  readonly frame: string;
}

/**
 * What has happened lately, for streams that are open and those that come back. Ids are those of this run: whoever
 * names one of another run, or one that is no longer kept, is told to read everything anew.
 */
export class EventHub {
  readonly #run = Date.now().toString(36);
  readonly #kept: Kept[] = [];
  readonly #listeners = new Map<(frame: string) => void, string>();
  #last = 0;

  publish({ event, data }: HubEvent): void {
    const number = ++this.#last;
    const frame = `id: ${this.#run}-${number}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    this.#kept.push({ number, frame });
    if (this.#kept.length > LIMITS.adminStreamEventsKept) this.#kept.shift();
    for (const listener of this.#listeners.keys()) listener(frame);
  }

  /** What a stream begins with, given the last event that its reader has seen, if any. */
  since(lastEventId: string | null): string {
    const here = `id: ${this.#run}-${this.#last}\nevent: ready\ndata: {}\n\n`;
    if (lastEventId === null) return here;
    const [run, number] = lastEventId.split('-');
    const seen = run === this.#run && /^\d{1,15}$/.test(number ?? '') ? Number(number) : -1;
    const oldest = this.#kept[0]?.number ?? this.#last + 1;
    const isWhole = seen >= oldest - 1 && seen <= this.#last;
    if (!isWhole) return here.replace('event: ready', 'event: reset');
    return this.#kept.flatMap((kept) => (kept.number > seen ? [kept.frame] : [])).join('') + here;
  }

  /** Calls back with each event, as it is sent, until the function that this returns is called. */
  listen(listener: (frame: string) => void, by = ''): () => void {
    this.#listeners.set(listener, by);
    return () => this.#listeners.delete(listener);
  }

  listeningBy(by: string): number {
    return [...this.#listeners.values()].filter((one) => one === by).length;
  }

  get listening(): number {
    return this.#listeners.size;
  }
}
