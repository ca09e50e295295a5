import { join } from 'node:path'
import { type Diagnosis, examine, isSound, repair } from '../services/store/embedded/doctor.ts'
import { StoreUnusable } from '../services/store/unusable.ts'
import type { DoctorCommand } from './arguments.ts'
import { CommandError } from './credentials.ts'
import type { Output } from './output.ts'

/** Most damaged users that are listed, by hash. Of the others only the number is printed. */
const LISTED = 20

/**
 * Examines the data folder of the embedded store, and repairs it if asked.
 *
 * @throws CommandError when there is no database, a service uses the folder, or it is damaged and was not repaired
 */
export async function doctor(command: DoctorCommand, dataDir: string, output: Output): Promise<void> {
  const folder = join(dataDir, 'store')
  const found = await examine(folder, Date.now()).catch((error: unknown) => {
    throw error instanceof StoreUnusable ? new CommandError(error.message) : error
  })
  const sound = isSound(found)
  if (sound || !command.repair) {
    report(folder, found, false, output)
    if (!sound) throw new CommandError('the data folder is damaged: stop the service, and run belfry doctor --repair')
    return
  }
  try {
    await repair(folder, found, Date.now())
  } catch (error) {
    report(folder, found, false, output)
    throw new CommandError(`the data folder cannot be repaired: ${(error as Error).message}`)
  }
  report(folder, found, true, output)
}

function report(folder: string, found: Diagnosis, repaired: boolean, output: Output): void {
  const { files, unreadable, lost, users, rows, damagedUsers, damagedTopicEntries } = found
  const lines = [`${folder}: ${counted(users, 'user')}, ${counted(rows, 'row')}`, ...files.map((file) => `damaged file: ${file}`)]
  if (unreadable !== '') lines.push(`cannot be opened: ${unreadable}`)
  if (lost !== '') lines.push(`writes are missing: ${lost}`)
  for (const { userHash, reason } of damagedUsers.slice(0, LISTED)) lines.push(`damaged user: ${userHash}: ${reason}`)
  if (damagedUsers.length > LISTED) lines.push(`damaged users: ${damagedUsers.length - LISTED} more`)
  if (damagedTopicEntries > 0) lines.push(`damaged entries of topics and broadcasts: ${damagedTopicEntries}`)
  if (repaired) lines.push('repaired: damaged files are in lost/, and every user is told that notifications may be missing')
  else if (isSound(found)) lines.push('sound')
  output.data({ folder, ...found, sound: isSound(found), repaired }, lines.join('\n'))
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
