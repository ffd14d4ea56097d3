export function SnapshotsView(_: { readonly id: string | null; readonly query: URLSearchParams }) {
  return <h1>Snapshots</h1>;
}
