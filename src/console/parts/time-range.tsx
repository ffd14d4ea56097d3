import { toLocal } from './form.ts';

/** The fields `since` and `until` of a form that searches. */
export function TimeRange({ since, until }: { readonly since: string; readonly until: string }) {
  return (
    <>
      <label>
        From
        <input type="datetime-local" step="1" name="since" defaultValue={toLocal(since)} />
      </label>
      <label>
        Before
        <input type="datetime-local" step="1" name="until" defaultValue={toLocal(until)} />
      </label>
    </>
  );
}
