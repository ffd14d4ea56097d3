import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { MadeToken } from '../api/types.ts';
import { Dialog } from '../parts/dialog.tsx';
import { FormDialog } from '../parts/form-dialog.tsx';
import { Notice } from '../parts/notice.tsx';
import { Time } from '../parts/time.tsx';
import { mayDo, type Principal } from '../state/principal.ts';
import { EVERYTHING, SCOPES, SETS } from './scopes.ts';

interface NewTokenProps {
  readonly maker: Principal | null;
  readonly onClose: () => void;
}

/** Makes a token, and shows it once: it is in this dialog alone, and gone with it. */
export function NewToken({ maker, onClose }: NewTokenProps) {
  const [made, setMade] = useState<MadeToken | null>(null);
  if (made !== null) return <Made made={made} onClose={onClose} />;
  return <Wanted maker={maker} onMade={setMade} onClose={onClose} />;
}

interface WantedProps extends NewTokenProps {
  readonly onMade: (made: MadeToken) => void;
}

function Wanted({ maker, onMade, onClose }: WantedProps) {
  const [scopes, setScopes] = useState<ReadonlySet<string>>(new Set());
  const make = async (fields: Readonly<Record<string, string>>) =>
    onMade(await ask<MadeToken>('/v1/tokens', { method: 'POST', body: bodyOf(fields, scopes) }));
  return (
    <FormDialog
      title="Make a token"
      verb="Make it"
      doing="Making it…"
      isDangerous={false}
      isReady={scopes.size > 0}
      act={make}
      onClose={onClose}
      onDone={() => {}}
    >
      <p class="hint">
        Its approvals count as yours, and so do those of all that it makes, since you have seen it. For two
        people to approve, each has to stand in the tokens file.
      </p>
      <label>
        Name, shown in the audit and on approvals
        <input name="name" required maxLength={100} autocomplete="off" spellcheck={false} autofocus />
      </label>
      <Scopes maker={maker} scopes={scopes} onChange={setScopes} />
      <label>
        Valid for
        <select name="days">
          {VALIDITY.map(([days, label]) => (
            <option key={days} value={days}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <label>
        Database roles of its own, whose statements it must not approve (with commas; optional)
        <input name="roles" autocomplete="off" spellcheck={false} />
      </label>
      <label>
        Groups of approvers that it belongs to (with commas; optional)
        <input name="groups" autocomplete="off" spellcheck={false} />
      </label>
    </FormDialog>
  );
}

const VALIDITY = [
  ['30', '30 days'],
  ['1', 'a day'],
  ['90', '90 days'],
  ['365', 'a year'],
  ['', 'as long as yours'],
] as const;
const DAY_MS = 86_400_000;

function bodyOf(fields: Readonly<Record<string, string>>, scopes: ReadonlySet<string>) {
  const { name, days, roles, groups } = fields;
  const expires =
    days === undefined ? {} : { expires_at: new Date(Date.now() + Number(days) * DAY_MS).toISOString() };
  return { name, scopes: [...scopes], ...expires, roles: listed(roles), groups: listed(groups) };
}

function listed(text = ''): string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter(Boolean);
}

interface ScopesProps {
  readonly maker: Principal | null;
  readonly scopes: ReadonlySet<string>;
  readonly onChange: (scopes: ReadonlySet<string>) => void;
}

/** Nobody gives what they do not have, so that it is not offered. */
function Scopes({ maker, scopes, onChange }: ScopesProps) {
  const has = (scope: string) => mayDo(maker, scope);
  const toggle = (scope: string, isOn: boolean) => {
    const changed = new Set(scopes);
    if (isOn) changed.add(scope);
    else changed.delete(scope);
    onChange(changed);
  };
  const isEverything = scopes.has(EVERYTHING);
  return (
    <fieldset class="scopes">
      <legend>What it may do</legend>
      <div class="buttons">
        {SETS.filter((set) => set.scopes.every(has)).map((set) => (
          <button
            key={set.name}
            type="button"
            aria-pressed={scopes.size === set.scopes.length && set.scopes.every((one) => scopes.has(one))}
            onClick={() => onChange(new Set(set.scopes))}
          >
            {set.name}
          </button>
        ))}
      </div>
      {isEverything && (
        <Notice tone="warning" title="It may do everything, other tokens included">
          <p>Whoever has it may do with it what you may.</p>
        </Notice>
      )}
      <div class="scope-list">
        {SCOPES.filter(([scope]) => has(scope)).map(([scope, what]) => (
          <label key={scope} class="check" title={scope}>
            <input
              type="checkbox"
              checked={isEverything || scopes.has(scope)}
              disabled={isEverything}
              onChange={(event) => toggle(scope, event.currentTarget.checked)}
            />
            {what}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function Made({ made, onClose }: { readonly made: MadeToken; readonly onClose: () => void }) {
  const [copied, setCopied] = useState<boolean | null>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(made.token);
      setCopied(true);
    } catch {
      setCopied(false);
    }
  };
  return (
    <Dialog title={`The token ${made.name} is made`} onClose={onClose} staysOpen={true}>
      <Notice tone="warning" title="Keep it now: it is never shown again" />
      <label>
        Token
        <input
          class="secret"
          value={made.token}
          readonly
          onFocus={(event) => event.currentTarget.select()}
          autofocus
        />
      </label>
      <p class="hint">
        {made.expires_at === null ? (
          'It is good until it is revoked.'
        ) : (
          <>
            It is good until <Time at={made.expires_at} />.
          </>
        )}
        {made.roles.length > 0 && ` It must not approve what ${made.roles.join(', ')} asks for.`}
      </p>
      <div class="buttons">
        <span role="status">
          {copied === true && 'Copied.'}
          {copied === false && 'It could not be copied: select it instead.'}
        </span>
        <button type="button" onClick={() => void copy()}>
          Copy
        </button>
        <button type="button" class="primary" onClick={onClose}>
          I have kept it
        </button>
      </div>
    </Dialog>
  );
}
