import { chmodSync, closeSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeFolder } from '../make-folder.ts'

/** The file of a generated secret cannot be used. The message says what to do. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
}

/**
 * Reads the file of a secret that an earlier start generated, without the newline at its end. The file has mode 0600 afterwards.
 *
 * @param name of the secret, for the message
 * @returns undefined if there is none
 * @throws SecretError if the file cannot be read
 */
export function readSecretFile(path: string, name: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8').trimEnd()
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600)
    return text
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw new SecretError(`${name} in ${path} cannot be read: ${(error as Error).message}`)
  }
}

/**
 * Writes the file of a new secret. It is written to a temporary name, synced and linked into place, so that a crash leaves either no file or a
 * whole one, and two starts at once agree on one secret.
 *
 * @param name of the secret, for the message
 * @returns false if another process has put a secret there first
 * @throws SecretError if the file cannot be written
 */
export function placeSecretFile(path: string, text: string, name: string): boolean {
  try {
    makeFolder(dirname(path))
    return place(path, `${text}\n`)
  } catch (error) {
    throw new SecretError(`DATA_DIR must be a folder that this process can write, for ${name}: ${(error as Error).message}`)
  }
}

function place(path: string, text: string): boolean {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const file = openSync(temporary, 'w', 0o600)
    try {
      writeSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    chmodSync(temporary, 0o600)
    try {
      linkSync(temporary, path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') return false
      // Some file systems have no hard links.
      renameSync(temporary, path)
    }
    syncDirectory(dirname(path))
    return true
  } finally {
    rmSync(temporary, { force: true })
  }
}

function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
