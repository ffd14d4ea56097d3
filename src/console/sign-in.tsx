import { useEffect, useState } from 'preact/hooks';
import { ApiProblem, signIn } from './api/client.ts';
import { askIssuer, canUseIssuer, type Issuer, leaveForIssuer, returnFromIssuer } from './api/oidc.ts';
import { Failure, Notice } from './parts/notice.tsx';
import { askPrincipal, principal } from './state/principal.ts';

export function SignIn({ because }: { readonly because: string | null }) {
  const [issuer, setIssuer] = useState<Issuer | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const attempt = async (act: () => Promise<void>) => {
    setAsking(true);
    setError(null);
    try {
      await act();
    } catch (thrown) {
      setError(thrown);
    } finally {
      setAsking(false);
    }
  };
  useEffect(() => {
    const abort = new AbortController();
    // Without an answer there is no button; the token does without.
    askIssuer(abort.signal).then(setIssuer, () => {});
    void attempt(async () => {
      const secrets = await returnFromIssuer();
      if (secrets !== null) await signInWithOneOf(secrets);
    });
    return () => abort.abort();
  }, []);
  return (
    <main class="sign-in">
      <h1>Holdfast</h1>
      <p>Statements that wait for a person, what has run, and what can be undone.</p>
      {because !== null && error === null && <Notice tone="warning">{because}</Notice>}
      {issuer !== null && <IssuerButton issuer={issuer} isAsking={isAsking} attempt={attempt} />}
      <TokenForm isAsking={isAsking} attempt={attempt} />
      {error !== null && <WrongToken error={error} />}
    </main>
  );
}

interface AttemptProps {
  readonly isAsking: boolean;
  readonly attempt: (act: () => Promise<void>) => Promise<void>;
}

function IssuerButton({ issuer, isAsking, attempt }: AttemptProps & { readonly issuer: Issuer }) {
  const host = new URL(issuer.issuer).host;
  const may = canUseIssuer() && issuer.authorization_endpoint !== null && issuer.token_endpoint !== null;
  return (
    <div class="issuer">
      <button
        type="button"
        class="primary"
        disabled={isAsking || !may}
        onClick={() => void attempt(() => leaveForIssuer(issuer))}
      >
        Sign in with {host}
      </button>
      {!canUseIssuer() && <p class="hint">That needs this page to come over https, or from this machine.</p>}
      {canUseIssuer() && !may && <p class="hint">{host} does not answer the gateway now.</p>}
      <p class="or">or</p>
    </div>
  );
}

function TokenForm({ isAsking, attempt }: AttemptProps) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem('token') as HTMLInputElement;
    const secret = field.value.trim();
    if (secret === '') return field.focus();
    void attempt(async () => {
      field.select();
      principal.set(await askPrincipal(secret));
      signIn(secret);
    });
  };
  return (
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
  );
}

/** The gateway takes the one that is meant for it. */
async function signInWithOneOf(secrets: readonly string[]): Promise<void> {
  let refused: unknown = new Error('The issuer gave no token that the gateway could take.');
  for (const secret of secrets) {
    try {
      principal.set(await askPrincipal(secret));
      return signIn(secret);
    } catch (error) {
      refused = error;
    }
  }
  throw refused;
}

function WrongToken({ error }: { readonly error: unknown }) {
  if (error instanceof ApiProblem && error.problem.status === 401) {
    return <Notice tone="bad" title="The gateway does not know this token, or it has expired." />;
  }
  return <Failure error={error} />;
}
