import { Visible } from './visible.tsx';

/** NULL is not an empty text, and neither is nothing. */
export function Value({ value }: { readonly value: string | null }) {
  if (value === null) return <span class="null">NULL</span>;
  if (value === '') return <span class="null">empty</span>;
  return <Visible text={value} />;
}
