/** What a token may be given, with what each is for; test/console/scopes.test.ts compares it with the gateway's. */
export const SCOPES = [
  ['approval:read', 'see what waits and was decided'],
  ['approval:write', 'approve and deny'],
  ['approval:break_glass', 'approve alone in an emergency'],
  ['approval:parameters', 'see the parameters of held statements'],
  ['audit:read', 'search the audit'],
  ['snapshot:read', 'list, show and verify snapshots'],
  ['snapshot:rows', 'see the rows of snapshots'],
  ['snapshot:write', 'remove snapshots'],
  ['undo:preview', 'see what an undo would do'],
  ['undo:write', 'undo'],
  ['policy:read', 'see the policy'],
  ['policy:write', 'have the policy read again'],
  ['query:analyze', 'have statements explained'],
  ['metadata:read', 'see how the gateway is doing'],
  ['metrics:read', 'read metrics'],
  ['pause:write', 'pause and resume'],
  ['quarantine:read', 'see quarantines'],
  ['quarantine:write', 'put into quarantine and lift'],
  ['token:read', 'list tokens'],
  ['token:write', 'make and revoke tokens'],
] as const;

export const EVERYTHING = '*';

/** Sets that people ask for, to begin with. */
export const SETS: readonly { readonly name: string; readonly scopes: readonly string[] }[] = [
  {
    name: 'Approver',
    scopes: [
      ...['approval:read', 'approval:write', 'approval:parameters', 'audit:read', 'snapshot:read'],
      ...['metadata:read', 'policy:read', 'query:analyze'],
    ],
  },
  {
    name: 'Reader',
    scopes: SCOPES.map(([scope]) => scope).filter((scope) => scope.endsWith(':read')),
  },
  { name: 'Agent', scopes: ['approval:read'] },
  { name: 'Everything', scopes: [EVERYTHING] },
];
