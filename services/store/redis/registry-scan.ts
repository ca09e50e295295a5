import { setTimeout } from 'node:timers/promises'
import type { Keys } from './keys.ts'
import type { Master } from './master.ts'

/** Number of keys that one step of the scan reads. */
const STEP = 1000
/** Pause between two steps, milliseconds: the scan of a large database must not hold up publishes. */
const PAUSE_MS = 2

/**
 * Calls `visit` with every user whose registry on this master names the node. Scans all keys of the master, so it is used only after the
 * master has lost its latest writes.
 */
export async function scanRegistry({ commands }: Master, keys: Keys, node: string, visit: (user: string) => void): Promise<void> {
  let cursor = '0'
  do {
    const [next, found] = await commands.scan(cursor, 'MATCH', keys.registries, 'COUNT', STEP)
    const isRegistered = await Promise.all(found.map((key) => commands.hexists(key, node)))
    found.forEach((key, index) => {
      if (isRegistered[index] === 1) visit(keys.userOf(key))
    })
    cursor = next
    await setTimeout(PAUSE_MS)
  } while (cursor !== '0')
}
