import { Visible } from '../parts/visible.tsx';

interface DroppedObject {
  readonly kind: string;
  /** Empty of what is in none, such as a schema. */
  readonly schema: string;
  readonly name: string;
}

export function DroppedObjects({ objects }: { readonly objects: readonly DroppedObject[] }) {
  return (
    <ul>
      {objects.map(({ kind, schema, name }) => (
        <li key={`${kind} ${schema}.${name}`}>
          {kind}{' '}
          <code>
            <Visible text={schema === '' ? name : `${schema}.${name}`} />
          </code>
        </li>
      ))}
    </ul>
  );
}
