import { useEffect, useState } from 'preact/hooks';
import { gatewayNowMs } from '../api/client.ts';
import { Cell } from './cell.ts';

/** One clock for all that counts seconds on the page. */
const seconds = new Cell(0);
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** What a text that counts seconds says now; drawn again only when it says something else. */
export function useTicking(say: (nowMs: number) => string): string {
  const [, note] = useState('');
  useEffect(() => {
    users += 1;
    if (users === 1) timer = setInterval(() => seconds.set(seconds.value + 1), 1000);
    const unwatch = seconds.watch(() => note(say(gatewayNowMs())));
    return () => {
      unwatch();
      users -= 1;
      if (users === 0) clearInterval(timer);
    };
  }, [say]);
  return say(gatewayNowMs());
}
