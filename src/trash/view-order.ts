import type { GoneRelation } from './facts.ts';

/** The materialized views that rest on what stays, or on another of these, so that they are made anew and not moved. */
export function madeAnew(views: readonly GoneRelation[]): ReadonlySet<number> {
  const anew = new Set(views.flatMap(({ oid, restsOnOthers }) => (restsOnOthers ? [oid] : [])));
  for (let before = -1; anew.size > before; ) {
    before = anew.size;
    for (const { oid, uses } of views) if (uses?.some((used) => anew.has(used)) === true) anew.add(oid);
  }
  return anew;
}

/** Each view after those that its definition reads. */
export function inOrderOfUse(views: readonly GoneRelation[]): GoneRelation[] {
  const byOid = new Map(views.map((view) => [view.oid, view]));
  const done = new Set<GoneRelation>();
  const place = (view: GoneRelation) => {
    if (done.has(view)) return;
    // Before its own are placed: two views may read each other, of which PostgreSQL runs neither.
    done.add(view);
    for (const oid of view.uses ?? []) {
      const used = byOid.get(oid);
      if (used !== undefined) place(used);
    }
    order.push(view);
  };
  const order: GoneRelation[] = [];
  for (const view of views) place(view);
  return order;
}
