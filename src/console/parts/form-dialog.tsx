import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Dialog } from './dialog.tsx';
import { fieldsOf } from './form.ts';
import { Failure } from './notice.tsx';

interface FormDialogProps {
  readonly title: string;
  readonly verb: string;
  /** What the button says while it is done. */
  readonly doing?: string;
  readonly isDangerous: boolean;
  /** Whether there is enough in the form to do it. */
  readonly isReady?: boolean;
  readonly act: (fields: Readonly<Record<string, string>>) => Promise<unknown>;
  readonly onClose: () => void;
  /** It is done; whoever has the dialog takes it away. */
  readonly onDone: () => void;
  readonly children: ComponentChildren;
}

/** Asks for what an action needs, does it once, and stays with the error if it fails. */
export function FormDialog(props: FormDialogProps) {
  const { title, verb, doing = verb, isDangerous, isReady = true, act, onClose, onDone, children } = props;
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (!isReady || isAsking) return;
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
          <button type="submit" class={isDangerous ? 'danger' : 'primary'} disabled={isAsking || !isReady}>
            {isAsking ? doing : verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
