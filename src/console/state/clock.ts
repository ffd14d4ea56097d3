import { useEffect } from 'preact/hooks';
import { gatewayNowMs } from '../api/client.ts';
import { Cell, useCell } from './cell.ts';

/** One clock for all that counts seconds on the page. */
const seconds = new Cell(0);
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** The gateway's time, each second anew. */
export function useNowMs(): number {
  useEffect(() => {
    users += 1;
    if (users === 1) timer = setInterval(() => seconds.set(seconds.value + 1), 1000);
    return () => {
      users -= 1;
      if (users === 0) clearInterval(timer);
    };
  }, []);
  useCell(seconds);
  return gatewayNowMs();
}
