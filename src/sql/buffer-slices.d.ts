/** Node has had these since 4; they skip what `toString` does to find out which of them to call. */
interface Buffer {
  latin1Slice(start?: number, end?: number): string;
  utf8Slice(start?: number, end?: number): string;
}
