import { mkdir, rm, symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { openLevel } from './database.ts'

/**
 * Runs `work` while this process holds the lock of a data folder, so that no service uses the folder. Opening a database
 * writes to its folder. So a second, empty database is opened beside it: its lock file is a link to that of the data folder.
 *
 * @throws StoreUnusable if another process holds the folder
 */
export async function withFolderLock<Result>(folder: string, work: () => Promise<Result>): Promise<Result> {
  const beside = `${folder}.locked-${process.pid}`
  await rm(beside, { recursive: true, force: true })
  await mkdir(beside, { mode: 0o700 })
  try {
    await symlink(join(resolve(folder), 'LOCK'), join(beside, 'LOCK'))
    const lock = await openLevel(beside, folder)
    try {
      return await work()
    } finally {
      await lock.close()
    }
  } finally {
    await rm(beside, { recursive: true, force: true })
  }
}
