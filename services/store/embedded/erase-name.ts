import { ERASED, withoutName } from '../broadcast-step.ts'
import { chunkNumberIn, decodeNames, encode, ranges, type StoredBroadcast } from './audience-codec.ts'
import { userPrefix, userRange, usersRange } from './codec.ts'
import type { Operation } from './database.ts'
import type { AudienceSession } from './embedded-members.ts'

/** Parts of an audience that are read at once. */
const READ_MAX = 20

/** Replaces the name of an erased user in the audience of a broadcast, and removes it from `except`. */
export async function eraseName(session: AudienceSession, state: StoredBroadcast, name: string): Promise<void> {
  const operations: Operation[] = []
  const to = withoutName(state.to, name)
  const searchFrom = await withoutNameIn(session, state.searchFrom ?? '', name)
  const isNamed = to.except.length < state.to.except.length || searchFrom !== (state.searchFrom ?? '')
  if (isNamed) operations.push(encode.broadcast({ ...state, to, searchFrom }))
  const text = JSON.stringify(name)
  let number = 0
  for (;;) {
    const chunks = await session.range(ranges.audience(state.id, number), READ_MAX)
    for (const [key, value] of chunks) {
      // Most chunks do not have the name, and a search in the text costs less than to decode it.
      if (!value?.includes(text)) continue
      const names = decodeNames(value).map((other) => (other === name ? ERASED : other))
      operations.push(encode.chunk(state.id, chunkNumberIn(key), names))
    }
    const last = chunks.at(-1)
    if (last === undefined) break
    number = chunkNumberIn(last[0]) + 1
  }
  if (operations.length > 0) await session.write(operations)
}

/** Returns the place of a search for users, without the name of an erased user: if it has that name, the place of the next user. */
async function withoutNameIn(session: AudienceSession, searchFrom: string, name: string): Promise<string> {
  const prefix = userPrefix(name)
  if (!searchFrom.startsWith(prefix.toString('hex'))) return searchFrom
  const [next] = await session.range([userRange(prefix)[1], usersRange[1]], 1)
  return (next?.[0] ?? usersRange[1]).toString('hex')
}
