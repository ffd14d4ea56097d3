import { Dialog } from '../parts/dialog.tsx';

const KEYS = [
  ['j', 'the next statement'],
  ['k', 'the one before'],
  ['Enter', 'open it'],
  ['a', 'approve it, after a look at it'],
  ['d', 'deny it, likewise'],
  ['Esc', 'close a dialog'],
  ['?', 'this list'],
] as const;

export function KeysHelp({ onClose }: { readonly onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
