import type { S3Connection } from './s3-connection.ts';
import { assureEncrypted, type WriteSettings } from './s3-settings.ts';

export interface ObjectPlace {
  readonly Bucket: string;
  readonly Key: string;
}

interface Put {
  readonly Body: Uint8Array;
  readonly Metadata: Record<string, string>;
  readonly IfNoneMatch?: string;
}

/** One object in one request. Rows that the server has not encrypted as it was asked to are not left there. */
export async function putObject(
  connection: S3Connection,
  place: ObjectPlace,
  settings: WriteSettings,
  put: Put,
  signal?: AbortSignal,
): Promise<void> {
  const answer = await connection.raw(
    (client, options) => client.putObject({ ...place, ...settings, ...put }, options),
    signal === undefined ? {} : { signal },
  );
  try {
    assureEncrypted(settings, answer);
  } catch (error) {
    await connection.call((client, options) => client.deleteObject(place, options));
    throw error;
  }
}
