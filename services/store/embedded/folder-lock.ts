import { mkdir, rm, symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { openLevel } from './database.ts'

/**
 * Runs `work` while this process holds the lock of a data folder, so that no service uses the folder. The folder itself is not opened,
 * because opening a database writes to it: a database beside it is opened, whose lock file is a link to that of the folder.
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
