import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { ApiToken } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Failure, Notice } from '../parts/notice.tsx';
import { Visible } from '../parts/visible.tsx';
import { nameOf } from '../parts/words.ts';

interface RevokeProps {
  readonly token: ApiToken;
  readonly tokens: readonly ApiToken[];
  readonly isOwn: boolean;
  readonly onClose: () => void;
}

export function RevokeToken({ token: { name }, tokens, isOwn, onClose }: RevokeProps) {
  const along = madeWith(name, tokens);
  const [isAsking, setAsking] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const revoke = async () => {
    setAsking(true);
    setError(null);
    try {
      await ask(`/v1/tokens/${encodeURIComponent(name)}`, { method: 'DELETE' });
      announce(`The token ${name} is revoked.`);
      onClose();
    } catch (thrown) {
      setError(thrown);
      setAsking(false);
    }
  };
  return (
    <Dialog title={`Revoke the token ${name}?`} onClose={onClose}>
      <p>
        Whoever uses it is refused from then on, and streams that it has open end. It cannot be taken back:
        another token would have to be made. What it has approved stays approved.
      </p>
      {along.length > 0 && (
        <Notice tone="warning" title="What it has made is revoked with it">
          <p>
            <Visible text={along.join(', ')} />
          </p>
        </Notice>
      )}
      {isOwn && <Notice tone="warning" title="You are signed in by this token, and will be signed out" />}
      {error !== null && <Failure error={error} />}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" class="danger" disabled={isAsking} onClick={() => void revoke()}>
          Revoke
        </button>
      </div>
    </Dialog>
  );
}

/** The gateway says the same when it has done it. */
function madeWith(name: string, tokens: readonly ApiToken[]): readonly string[] {
  const found = new Set([name]);
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const { name: made, made_by: by } of tokens)
      if (by?.startsWith('token:') && found.has(nameOf(by))) found.add(made);
  }
  return [...found].slice(1);
}
