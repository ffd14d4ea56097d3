import { fieldsOf, fromLocal } from '../parts/form.ts';
import { TimeRange } from '../parts/time-range.tsx';
import { goTo, hrefOf } from '../state/route.ts';

interface FiltersProps {
  readonly query: URLSearchParams;
  readonly isAsking: boolean;
  readonly onRefresh: () => void;
}

const WORDS = [
  ['role', 'Role'],
  ['database', 'Database'],
  ['table', 'Table'],
  ['operation', 'Operation'],
  ['application', 'Application'],
  ['client', 'Client'],
  ['rule', 'Rule'],
  ['sqlstate', 'SQLSTATE'],
  ['session', 'Session'],
  ['approval_id', 'Approval'],
] as const;

const CHOICES = [
  ['risk', 'Risk', ['safe', 'low', 'high', 'critical', 'forbidden']],
  ['action', 'Decision', ['allow', 'snapshot', 'hold', 'block']],
  ['end', 'End', ['completed', 'suspended', 'failed', 'blocked', 'not-run', 'lost']],
] as const;

/** What to look for; it is kept in the address, so that a search can be sent to somebody. */
export function AuditFilters({ query, isAsking, onRefresh }: FiltersProps) {
  const value = (name: string) => query.get(name) ?? '';
  const isFurther = WORDS.some(([name]) => query.has(name)) || query.has('since') || query.has('until');
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const fields = fieldsOf(event.currentTarget as HTMLFormElement);
    const asked = { ...fields, since: fromLocal(fields['since']), until: fromLocal(fields['until']) };
    const href = hrefOf('audit', null, asked);
    if (href === hrefOf('audit', null, Object.fromEntries(query))) onRefresh();
    else goTo(href);
  };
  return (
    <form class="filters" onSubmit={submit} aria-label="Search the audit">
      <div class="filter-row">
        <label class="wide">
          Text of the statement
          <input type="search" name="text" defaultValue={value('text')} placeholder="a part of the SQL" />
        </label>
        {CHOICES.map(([name, label, options]) => (
          <label key={name}>
            {label}
            <select name={name} defaultValue={value(name)}>
              <option value="">any</option>
              {options.map((option) => (
                <option key={option} value={option} selected={option === value(name)}>
                  {option}
                </option>
              ))}
            </select>
          </label>
        ))}
      </div>
      <details open={isFurther}>
        <summary>More to look for</summary>
        <div class="filter-row">
          {WORDS.map(([name, label]) => (
            <label key={name}>
              {label}
              <input name={name} defaultValue={value(name)} autocomplete="off" />
            </label>
          ))}
          <TimeRange since={value('since')} until={value('until')} />
        </div>
      </details>
      <div class="buttons">
        <button type="submit" class="primary" disabled={isAsking}>
          Search
        </button>
        <a class="button" href={hrefOf('audit')}>
          Everything
        </a>
      </div>
    </form>
  );
}
