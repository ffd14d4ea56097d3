import { ask } from '../api/client.ts';
import { FormDialog } from '../parts/form-dialog.tsx';

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
