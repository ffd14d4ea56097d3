import { useState } from 'preact/hooks';
import { ApiProblem, signIn } from './api/client.ts';
import { Failure, Notice } from './parts/notice.tsx';
import { askPrincipal, principal } from './state/principal.ts';

export function SignIn({ because }: { readonly because: string | null }) {
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem('token') as HTMLInputElement;
    const secret = field.value.trim();
    if (secret === '') return field.focus();
    setAsking(true);
    setError(null);
    try {
      principal.set(await askPrincipal(secret));
      signIn(secret);
    } catch (thrown) {
      setAsking(false);
      setError(thrown);
      field.select();
    }
  };
  return (
    <main class="sign-in">
      <h1>Holdfast</h1>
      <p>Statements that wait for a person, what has run, and what can be undone.</p>
      {because !== null && error === null && <Notice tone="warning">{because}</Notice>}
      <form onSubmit={submit}>
        <label for="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          autocomplete="off"
          spellcheck={false}
          placeholder="hf_…"
          aria-describedby="token-hint"
          autofocus
        />
        <p id="token-hint" class="hint">
          An admin token of this gateway. The first start prints one; it stays in this tab and goes with it.
        </p>
        <button type="submit" class="primary" disabled={isAsking}>
          {isAsking ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
      {error !== null && <WrongToken error={error} />}
    </main>
  );
}

function WrongToken({ error }: { readonly error: unknown }) {
  if (error instanceof ApiProblem && error.problem.status === 401) {
    return <Notice tone="bad" title="The gateway does not know this token, or it has expired." />;
  }
  return <Failure error={error} />;
}
