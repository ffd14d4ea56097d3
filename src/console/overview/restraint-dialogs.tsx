import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import { Dialog } from '../parts/dialog.tsx';
import { fieldsOf } from '../parts/form.ts';
import { Failure } from '../parts/notice.tsx';

interface FormProps {
  readonly title: string;
  readonly verb: string;
  readonly isDangerous: boolean;
  readonly act: (fields: Readonly<Record<string, string>>) => Promise<unknown>;
  readonly onClose: () => void;
  readonly onDone: () => void;
  readonly children: ComponentChildren;
}

function FormDialog({ title, verb, isDangerous, act, onClose, onDone, children }: FormProps) {
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const fields = fieldsOf(event.currentTarget as HTMLFormElement);
    setAsking(true);
    setError(null);
    try {
      await act(fields);
      onDone();
    } catch (thrown) {
      setError(thrown);
      setAsking(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit} class="dialog-form">
        {children}
        {error !== null && <Failure error={error} />}
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={isDangerous ? 'danger' : 'primary'} disabled={isAsking}>
            {verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface ReasonProps {
  readonly title: string;
  readonly verb: string;
  readonly act: (comment: string) => Promise<unknown>;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function ReasonDialog({ title, verb, act, onClose, onDone }: ReasonProps) {
  return (
    <FormDialog
      title={title}
      verb={verb}
      isDangerous={false}
      act={({ comment }) => act(comment ?? '')}
      onClose={onClose}
      onDone={onDone}
    >
      <label>
        Comment, kept in the audit (optional)
        <input name="comment" maxLength={500} autocomplete="off" autofocus />
      </label>
    </FormDialog>
  );
}

interface RestrainProps {
  readonly onClose: () => void;
  readonly onDone: (text: string) => void;
}

export function PauseDialog({ onClose, onDone }: RestrainProps) {
  return (
    <FormDialog
      title="Pause everything?"
      verb="Pause"
      isDangerous={true}
      act={({ reason }) => ask('/v1/pause', { method: 'POST', body: { reason } })}
      onClose={onClose}
      onDone={() => onDone('The gateway is paused.')}
    >
      <p>
        Every session then refuses whatever is not safe, until somebody resumes. What has been sent is not
        taken back.
      </p>
      <label>
        Reason, told to every client that is refused
        <input name="reason" required maxLength={500} autocomplete="off" autofocus />
      </label>
    </FormDialog>
  );
}

export function QuarantineDialog({ onClose, onDone }: RestrainProps) {
  const put = ({ role, application, minutes, reason }: Readonly<Record<string, string>>) => {
    const time = minutes === undefined ? {} : { for_s: Math.round(Number(minutes) * 60) };
    const named = application === undefined ? {} : { application };
    return ask('/v1/quarantine', { method: 'POST', body: { role, reason, ...named, ...time } });
  };
  return (
    <FormDialog
      title="Put a role in quarantine?"
      verb="Put in quarantine"
      isDangerous={true}
      act={put}
      onClose={onClose}
      onDone={() => onDone('It is in quarantine.')}
    >
      <label>
        Role
        <input name="role" required maxLength={300} autocomplete="off" autofocus />
      </label>
      <label>
        Only this application of it (optional)
        <input name="application" maxLength={300} autocomplete="off" />
      </label>
      <label>
        Minutes (until it is lifted, if empty)
        <input name="minutes" type="number" min="1" step="1" />
      </label>
      <label>
        Reason
        <input name="reason" required maxLength={500} autocomplete="off" />
      </label>
    </FormDialog>
  );
}
