import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { logBytes } from './level-files.ts'

const CHUNK = Buffer.alloc(256 * 1024)
/** Room beyond what opening the folder takes, bytes, so that the store is not full again at once. */
const SPARE = 1024 * 1024
const PROBE_FILE = 'ROOM'

/** Returns whether the disk has room to reopen the folder, which writes LevelDB's log into a table, and to go on. */
export async function hasRoom(folder: string): Promise<boolean> {
  const path = join(folder, PROBE_FILE)
  try {
    const needed = (await logBytes(folder)) + SPARE
    const handle = await open(path, 'w', 0o600)
    try {
      for (let written = 0; written < needed; written += CHUNK.length) await handle.write(CHUNK)
      await handle.sync()
    } finally {
      await handle.close()
    }
    return true
  } catch {
    return false
  } finally {
    await rm(path, { force: true }).catch(() => undefined)
  }
}
