import { open, readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { RedisServer } from '../fixtures/redis.ts'

/** Cuts up to 20,000 bytes off the end of the append-only file. */
export async function loseTail(server: RedisServer, pick: number): Promise<void> {
  const path = await aofOf(server)
  const { size } = await stat(path)
  await cut(path, Math.max(0, size - Math.floor(pick * 20_000)))
}

/** Returns the path of the file that Redis appends to. */
export async function aofOf(server: RedisServer): Promise<string> {
  const folder = join(server.folder, 'appendonlydir')
  const file = (await readdir(folder)).find((name) => name.endsWith('.incr.aof'))
  if (file === undefined) throw new Error(`there is no append-only file in ${folder}`)
  return join(folder, file)
}

/** Truncates a file and syncs it. */
export async function cut(path: string, size: number): Promise<void> {
  await truncate(path, size)
  const handle = await open(path, 'r+')
  await handle.sync()
  await handle.close()
}
