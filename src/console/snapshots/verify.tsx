import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import { Failure, Notice } from '../parts/notice.tsx';
import { Visible } from '../parts/visible.tsx';
import { bytes, plural } from '../parts/words.ts';

interface Verification {
  readonly ok: boolean;
  readonly files: number;
  readonly rows: number;
  readonly bytes: number;
  readonly faults: readonly { readonly blob: string; readonly reason: string }[];
  readonly signature: string;
}

/** Reads every file of the snapshot, and compares it with what was written. */
export function Verify({ id }: { readonly id: string }) {
  const [found, setFound] = useState<Verification | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const verify = async () => {
    setAsking(true);
    setError(null);
    try {
      const path = `/v1/snapshots/${encodeURIComponent(id)}/verify`;
      setFound(await ask<Verification>(path, { method: 'POST', body: {} }));
    } catch (thrown) {
      setError(thrown);
    } finally {
      setAsking(false);
    }
  };
  return (
    <>
      <button type="button" disabled={isAsking} onClick={() => void verify()}>
        {isAsking ? 'Reading its files…' : 'Verify its files'}
      </button>
      {error !== null && <Failure error={error} />}
      {found !== null && (
        <Notice
          tone={found.ok ? 'good' : 'bad'}
          title={found.ok ? 'It is as it was written' : 'It is not as it was written'}
        >
          <p>
            {plural(found.files, 'file')}, {plural(found.rows, 'row')}, {bytes(found.bytes)}; its signature:{' '}
            {found.signature}
          </p>
          {found.faults.length > 0 && (
            <ul>
              {found.faults.map(({ blob, reason }) => (
                <li key={`${blob} ${reason}`}>
                  <Visible text={`${blob}: ${reason}`} />
                </li>
              ))}
            </ul>
          )}
        </Notice>
      )}
    </>
  );
}
