import { Cell, useCell } from '../state/cell.ts';

/** What has just happened, for those who see it and those who have it read to them. */
export interface Announcement {
  readonly text: string;
  readonly tone: 'good' | 'bad';
}

const announcement = new Cell<Announcement | null>(null);
const SHOWN_MS = 6000;
let timer: ReturnType<typeof setTimeout> | undefined;

export function announce(text: string, tone: Announcement['tone'] = 'good'): void {
  clearTimeout(timer);
  announcement.set({ text, tone });
  timer = setTimeout(() => announcement.set(null), SHOWN_MS);
}

export function Announcements() {
  const said = useCell(announcement);
  return (
    <div class="announcements" aria-live="polite">
      {said !== null && <p class={`announcement announcement-${said.tone}`}>{said.text}</p>}
    </div>
  );
}
