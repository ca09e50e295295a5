import { setTimeout } from 'node:timers/promises'
import type { Keys } from './keys.ts'
import type { Master } from './master.ts'

/** Keys that one step of the scan looks at. */
const STEP = 1000
/** Pause between two steps, milliseconds: the scan of a large database must not hold up publishes. */
const PAUSE_MS = 2

/**
 * Calls `visit` with every user in whose registry on this master the node stands, whether the node knows of it or not. Walks all keys of
 * the master: used only after it went back in time.
 */
export async function scanRegistry({ commands }: Master, keys: Keys, node: string, visit: (user: string) => void): Promise<void> {
  let cursor = '0'
  do {
    const [next, found] = await commands.scan(cursor, 'MATCH', keys.registries, 'COUNT', STEP)
    const held = await Promise.all(found.map((key) => commands.hexists(key, node)))
    found.forEach((key, index) => {
      if (held[index] === 1) visit(keys.userOf(key))
    })
    cursor = next
    await setTimeout(PAUSE_MS)
  } while (cursor !== '0')
}
