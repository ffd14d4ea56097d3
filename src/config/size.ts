import { type Parsed, wrong } from '../policy/judged.ts';

const UNITS = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 } as const;

export const SIZE_HINT = 'expected a size with its unit, like 512KiB, 64MiB or 1GiB';

/** Bytes of `64MiB` and the like. */
export function parseSizeBytes(text: string): Parsed<number> {
  const match = /^(\d{1,9})\s?(B|KiB|MiB|GiB|TiB)$/.exec(text);
  if (match === null) return wrong(SIZE_HINT);
  return { ok: true, value: Number(match[1]) * UNITS[match[2] as keyof typeof UNITS] };
}
