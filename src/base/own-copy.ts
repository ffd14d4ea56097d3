/**
 * A copy in memory of its own, for what is kept for long: a small one from Node's pool would keep the 64 KiB that it was
 * cut from for as long as it lives.
 */
export function ownCopy(bytes: Uint8Array): Buffer<ArrayBuffer> {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
