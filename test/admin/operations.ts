/** One method of one path of the OpenAPI document. */
export interface Operation {
  readonly name: string;
  readonly method: string;
  /** As the document has it, with braces around its parameters. */
  readonly path: string;
  /** What a token must allow; null where any token will do. */
  readonly scope: string | null;
  readonly isOpen: boolean;
  readonly hasBody: boolean;
  readonly statuses: readonly number[];
}

/** What is sent where anything valid is needed. */
export const BODIES: Readonly<Record<string, unknown>> = {
  'POST /v1/approvals/{id}/break-glass': { reason: 'a test' },
  'POST /v1/policy/replay': { policy: 'mode: protect' },
  'POST /v1/tokens': { name: 'bot', scopes: ['audit:read'] },
  'POST /v1/analyze': { sql: 'select 1' },
  'POST /v1/pause': { reason: 'a test' },
  'POST /v1/quarantine': { role: 'etl', reason: 'a test' },
};

/** Every route there is, told by the document itself, so that none that is new is left out. */
export function operationsOf(document: unknown): readonly Operation[] {
  const { paths } = document as { paths: Record<string, Record<string, Record<string, unknown>>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security, requestBody, responses }]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      scope: (security as { bearer: string[] }[] | undefined)?.[0]?.bearer[0] ?? null,
      isOpen: security === undefined,
      hasBody: requestBody !== undefined,
      statuses: Object.keys(responses as object).map(Number),
    })),
  );
}

/** With something in the place of its parameters, of which there is none. */
export function filledIn(path: string): string {
  const kind = path.startsWith('/v1/approvals') ? 'apr' : path.startsWith('/v1/quarantine') ? 'qua' : 'snap';
  return path.replace('{id}', `${kind}_01m7ywm391a2papjpd2r`).replace('{name}', 'nobody');
}
