import { useEffect } from 'preact/hooks';
import { ask } from '../api/client.ts';
import { onServerEvent } from '../api/live.ts';
import type { PreviewAnswer } from '../api/preview.ts';
import type { Approval } from '../api/types.ts';
import { type Loaded, useLoad } from '../state/load.ts';

const AGAIN_MS = 1000;
/** Whoever only passes by asks for nothing. */
const PAUSE_MS = 150;

/** What the gateway has found out about a statement; asked for again as long as it is still finding out. */
export function usePreview(approval: Approval): readonly [Loaded<PreviewAnswer>, () => void] {
  const path = `/v1/approvals/${encodeURIComponent(approval.id)}/preview`;
  const [loaded, reload] = useLoad(
    async (signal) => {
      await pause(signal);
      return await ask<PreviewAnswer>(path, { signal });
    },
    [approval.id],
  );
  // Somebody may have had it found out once more.
  useEffect(
    () =>
      onServerEvent(({ name, data }) => {
        if (name === 'approval' && data.includes(`"${approval.id}"`) && data.includes('"preview"')) reload();
      }),
    [approval.id],
  );
  const isComing =
    loaded.kind === 'ready' && loaded.value.state === 'pending' && approval.state === 'pending';
  useEffect(() => {
    if (!isComing) return;
    const timer = setTimeout(reload, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [isComing, loaded]);
  return [loaded, reload];
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, PAUSE_MS);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
