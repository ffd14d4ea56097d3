import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { Policy } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { Facts } from '../parts/facts.tsx';
import { Failure, Show } from '../parts/notice.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { Visible } from '../parts/visible.tsx';
import { useCell } from '../state/cell.ts';
import { useLoad } from '../state/load.ts';
import { mayDo, principal } from '../state/principal.ts';
import { Explain } from './explain.tsx';

/** The policy in force, and what it would decide about a statement. */
export function PolicyView() {
  const [loaded, reload] = useLoad((signal) => ask<Policy>('/v1/policy', { signal }), []);
  return (
    <>
      <h1>Policy</h1>
      <div class="two">
        <section aria-label="Explain a statement">
          <h2>Explain a statement</h2>
          <Explain />
        </section>
        <section aria-label="The policy in force">
          <h2>In force</h2>
          <Show loaded={loaded} what="the policy" retry={reload}>
            {(policy) => <InForce policy={policy} onReload={reload} />}
          </Show>
        </section>
      </div>
    </>
  );
}

function InForce({ policy, onReload }: { readonly policy: Policy; readonly onReload: () => void }) {
  const who = useCell(principal);
  const [error, setError] = useState<unknown>(null);
  const readAgain = async () => {
    setError(null);
    try {
      const { revision } = await ask<Policy>('/v1/policy/reload', { method: 'POST', body: {} });
      announce(
        revision === policy.revision
          ? 'Read again; nothing has changed.'
          : `Revision ${revision} is in force.`,
      );
      onReload();
    } catch (thrown) {
      setError(thrown);
    }
  };
  return (
    <>
      <Facts
        facts={[
          { name: 'Mode', value: policy.mode },
          { name: 'Revision', value: <code>{policy.revision}</code> },
          { name: 'File', value: policy.file },
        ]}
      />
      <div class="buttons">
        <button type="button" disabled={!mayDo(who, 'policy:write')} onClick={() => void readAgain()}>
          Read the file again
        </button>
      </div>
      {error !== null && <Failure error={error} />}
      <h3>Rules, in the order in which they are tried</h3>
      {policy.rules.length === 0 && <p class="hint">There are none: the defaults by risk decide.</p>}
      <ol class="rule-names">
        {policy.rules.map((rule) => (
          <li key={rule}>
            <Visible text={rule} />
          </li>
        ))}
      </ol>
      <h3>Text</h3>
      <Scroll class="sql" label="The text of the policy">
        <code>
          <Visible text={policy.source} />
        </code>
      </Scroll>
    </>
  );
}
