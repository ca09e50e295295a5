/** Decompresses a Snappy block (https://github.com/google/snappy/blob/main/format_description.txt). Returns undefined if it is damaged. */
export function uncompress(bytes: Buffer): Buffer | undefined {
  let at = 0
  let length = 0
  for (let factor = 1; ; factor *= 128) {
    const byte = bytes[at++]
    if (byte === undefined || factor > 2 ** 28) return undefined
    length += (byte & 127) * factor
    if (byte < 128) break
  }
  if (length > bytes.length * 64) return undefined
  const out = Buffer.allocUnsafe(length)
  let end = 0
  while (at < bytes.length) {
    const tag = bytes[at++] as number
    const kind = tag & 3
    let count: number
    let distance = 0
    if (kind === 0) {
      count = tag >> 2
      if (count >= 60) {
        const extra = count - 59
        if (at + extra > bytes.length) return undefined
        count = bytes.readUIntLE(at, extra)
        at += extra
      }
      count += 1
      if (at + count > bytes.length || end + count > length) return undefined
      bytes.copy(out, end, at, at + count)
      at += count
      end += count
      continue
    }
    const extra = kind === 1 ? 1 : kind === 2 ? 2 : 4
    if (at + extra > bytes.length) return undefined
    count = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1
    distance = kind === 1 ? ((tag >> 5) << 8) | (bytes[at] as number) : bytes.readUIntLE(at, extra)
    at += extra
    if (distance === 0 || distance > end || end + count > length) return undefined
    for (let copied = 0; copied < count; copied++, end++) out[end] = out[end - distance] as number
  }
  return end === length ? out : undefined
}
