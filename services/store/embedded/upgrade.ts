import { seal } from './checksum.ts'
import { userRange } from './codec.ts'
import type { Database, Operation } from './database.ts'

/** Users of format 1. */
const oldUsersRange: [Buffer, Buffer] = [Buffer.from('u'), Buffer.from('v')]
const parkedRange: [Buffer, Buffer] = [Buffer.from('d'), Buffer.from('e')]

/**
 * Carries a folder of format 1 over to format 2. Each user is moved by one write, so that an upgrade that is cut off goes on where it was; the
 * version is written by the caller, when all are.
 */
export async function upgradeFrom1(database: Database): Promise<void> {
  let [from, to] = oldUsersRange
  for (;;) {
    const [first] = await database.range(from, to, 1)
    if (first === undefined) break
    const prefix = first[0].subarray(0, 3 + first[0].readUInt16BE(1))
    const [start, end] = userRange(prefix)
    await database.write(movedUser(prefix, await database.range(start, end)))
    from = end
  }
  const parked = await database.range(...parkedRange)
  await database.write(parked.map(([key, value]) => ({ type: 'put', key, value: value.length > 0 ? value : seal(key, value) })))
}

function movedUser(prefix: Buffer, entries: [Buffer, Buffer][]): Operation[] {
  const count = { p: 0, s: 0, k: 0 } as Record<string, number>
  let parkedNos = 0
  for (const [key] of entries) {
    const part = String.fromCharCode(key[prefix.length] as number)
    count[part] = (count[part] ?? 0) + 1
    if (part === 'p') parkedNos += key.readUIntBE(prefix.length + 1, 6)
  }
  return entries.flatMap(([key, value]): Operation[] => {
    const moved = Buffer.from(key)
    moved[0] = 0x77
    const isMeta = key.length === prefix.length + 1 && key[prefix.length] === 0x61
    return [
      { type: 'del', key },
      { type: 'put', key: moved, value: seal(moved, isMeta ? movedMeta(value, count, parkedNos) : value) }
    ]
  })
}

/** Format 1: epoch, touched, oldest, top, floor, unread, latest time, park number, revoked before, limiter. */
function movedMeta(value: Buffer, count: Record<string, number>, parkedNos: number): Buffer {
  const words = value.toString('latin1').split(' ')
  const number = (part: string): string => (count[part] ?? 0).toString(36)
  return Buffer.from(
    [
      ...words.slice(0, 3),
      number('p'),
      ...words.slice(3, 9),
      '0',
      parkedNos.toString(36),
      number('s'),
      number('k'),
      ...words.slice(9)
    ].join(' ')
  )
}
