/** What Node's streams are made of, of which nothing is promised: whoever uses it has another way where it is not there. */
export interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest;
  readonly streamBaseState: Int32Array;
  readonly kLastWriteWasAsync: number;
  readonly kReadBytesOrError: number;
}

export interface WriteRequest {
  oncomplete?: (status: number) => void;
  /** Kept from being collected until the kernel has taken it. */
  buffer?: Uint8Array;
}

/** Of a socket, by its `_handle`. */
export interface StreamHandle {
  readonly fd?: number;
  writeBuffer?(request: WriteRequest, bytes: Uint8Array): number;
  onread?: (bytes: ArrayBuffer | undefined) => Uint8Array | undefined;
}

export const streams = streamWrap();

function streamWrap(): StreamWrap | null {
  const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamWrap> };
  try {
    const found = binding?.('stream_wrap');
    const { WriteWrap, streamBaseState, kLastWriteWasAsync, kReadBytesOrError } = found ?? {};
    if (!WriteWrap || !streamBaseState) return null;
    if (kLastWriteWasAsync === undefined || kReadBytesOrError === undefined) return null;
    return { WriteWrap, streamBaseState, kLastWriteWasAsync, kReadBytesOrError };
  } catch {
    return null;
  }
}
