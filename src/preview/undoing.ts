import type { Catalog } from '../catalog/catalog.ts';
import { planCapture } from '../snapshot/plan.ts';
import type { Undo } from './preview.ts';
import type { PreviewRequest, PreviewSubject } from './request.ts';
import type { Sandbox } from './sandbox.ts';

/** Whether it can be undone, as far as that is known without the server; null where it has to be asked. */
export function undoBeforehand({ snapshot, noSnapshot }: PreviewRequest): Undo | null {
  if (noSnapshot !== null) return no(noSnapshot);
  return snapshot === 'off' ? no('the policy wants no snapshot of it') : null;
}

/** The answer of the snapshot's own plan. */
export async function undoOf(sandbox: Sandbox, catalog: Catalog, subject: PreviewSubject): Promise<Undo> {
  const { request, effects, slice, targets } = subject;
  const known = undoBeforehand(request);
  if (known !== null) return known;
  if (slice.kind === 'inexact' || slice.kind === 'cursor') {
    const { operation } = effects;
    const isTried = /^(drop|alter) /.test(operation);
    return isTried
      ? notKnown(`whether ${operation} can be undone is tried when it runs`)
      : no(slice.kind === 'cursor' ? 'only the server knows the row that a cursor stands on' : slice.reason);
  }
  // Planning through a view would have the server plan the view.
  const view = targets.find(({ kind }) => kind === 'view');
  if (view !== undefined) return notKnown(`${view.name} is a view, of which the plan is made when it runs`);
  const { scope, parameters } = request;
  const planned = await sandbox.step((connection) =>
    planCapture(connection, catalog, { scope, slice, parameters }),
  );
  switch (planned.kind) {
    case 'exact':
      return { possible: 'yes', reason: 'a snapshot of the rows is taken before it runs' };
    case 'none':
    case 'needless':
      return no(planned.reason);
    case 'unknown':
      return notKnown(planned.reason);
    default:
      return planned satisfies never;
  }
}

function no(reason: string): Undo {
  return { possible: 'no', reason };
}

function notKnown(reason: string): Undo {
  return { possible: 'unknown', reason };
}
