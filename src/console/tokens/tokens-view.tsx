import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { ApiToken, Page } from '../api/types.ts';
import { Notice, Show } from '../parts/notice.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { useCell } from '../state/cell.ts';
import { useLoad } from '../state/load.ts';
import { mayDo, type Principal, principal } from '../state/principal.ts';
import { NewToken } from './new-token.tsx';
import { RevokeToken } from './revoke-token.tsx';

/** Who may use the console and the API. */
export function TokensView() {
  const who = useCell(principal);
  const [loaded, reload] = useLoad((signal) => ask<Page<ApiToken>>('/v1/tokens', { signal }), []);
  const [asking, setAsking] = useState<'new' | ApiToken | null>(null);
  const may = mayDo(who, 'token:write');
  const close = () => {
    setAsking(null);
    reload();
  };
  return (
    <>
      <h1>Tokens</h1>
      <p class="hint">
        Each is somebody, or some program, that may use this console and the API. The gateway keeps only their
        hashes: what a token is can be read once, when it is made.
      </p>
      {!may && <Notice>Your token has no scope token:write, to make and revoke others.</Notice>}
      <div class="buttons">
        <button type="button" class="primary" disabled={!may} onClick={() => setAsking('new')}>
          Make a token…
        </button>
      </div>
      <Show loaded={loaded} what="tokens" retry={reload}>
        {({ items }) => <Tokens tokens={items} who={who} may={may} onRevoke={setAsking} />}
      </Show>
      {asking === 'new' && <NewToken maker={who} onClose={close} />}
      {asking !== null && asking !== 'new' && (
        <RevokeToken
          token={asking}
          tokens={loaded.value?.items ?? []}
          isOwn={asking.name === who?.name}
          onClose={close}
        />
      )}
    </>
  );
}

interface TokensProps {
  readonly tokens: readonly ApiToken[];
  readonly who: Principal | null;
  readonly may: boolean;
  readonly onRevoke: (token: ApiToken) => void;
}

function Tokens({ tokens, who, may, onRevoke }: TokensProps) {
  if (tokens.length === 0) return <p class="empty">There is none.</p>;
  return (
    <Scroll class="table-frame tokens" label="Tokens">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col" title="Whom its approvals count for">
              Counts as
            </th>
            <th scope="col">May</th>
            <th scope="col" title="Database roles whose statements it must not approve">
              Roles of its own
            </th>
            <th scope="col">Groups</th>
            <th scope="col">Until</th>
            <th scope="col">
              <span class="hidden">Revoke</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {tokens.map((token) => (
            <tr key={`${token.source} ${token.name}`}>
              <th scope="row">
                <Visible text={token.name} />
                {token.name === who?.name && ' (you)'}
              </th>
              <td>
                <Visible text={token.person} />
              </td>
              <td>
                {token.scopes.some((scope) => scope === '*' || scope === 'admin:*')
                  ? 'everything'
                  : token.scopes.join(', ')}
              </td>
              <td>
                <Visible text={token.roles.join(', ') || '–'} />
              </td>
              <td>
                <Visible text={token.groups.join(', ') || '–'} />
              </td>
              <td>
                <Until at={token.expires_at} ended={token.ended_because} />
              </td>
              <td>
                {token.source === 'file' ? (
                  <span class="hint">in the tokens file</span>
                ) : (
                  <button
                    type="button"
                    disabled={!may}
                    aria-label={`Revoke ${token.name}`}
                    onClick={() => onRevoke(token)}
                  >
                    Revoke…
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Until({ at, ended }: { readonly at: string | null; readonly ended: string | null }) {
  if (ended !== null)
    return (
      <span>
        ended: <Visible text={ended} />
      </span>
    );
  if (at === null) return <span>for ever</span>;
  if (Date.parse(at) > Date.now()) return <Time at={at} />;
  return (
    <span class="soon">
      over since <Time at={at} />
    </span>
  );
}
