import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  /** What it shows is shown once: Escape does not close it. */
  readonly staysOpen?: boolean;
  readonly children: ComponentChildren;
}

/** The browser's own: it keeps the focus inside, and Escape closes it. */
export function Dialog({ title, onClose, staysOpen = false, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  // Whoever takes it away knows that already; another may stand in its place.
  const isLeft = useRef(false);
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => {
      isLeft.current = true;
      dialog?.close();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby="dialog-title"
      onClose={() => !isLeft.current && onClose()}
      onCancel={(event) => staysOpen && event.preventDefault()}
    >
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}
