import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'

const SECRET_FILE = 'jwt-secret'
const SECRET_BYTES = 32
/** 32 bytes as base64url. */
const SECRET_PATTERN = /^[A-Za-z0-9_-]{43}$/

/** The file of the generated secret cannot be used. The message says what to do. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
}

/** Returns the path of the generated secret. */
export function secretPath(directory: string): string {
  return join(directory, SECRET_FILE)
}

/**
 * Reads the secret that an earlier start generated. The file has mode 0600 afterwards.
 *
 * @returns undefined if there is none
 * @throws SecretError if the file is not whole or cannot be read
 */
export function readGeneratedSecret(directory: string): string | undefined {
  const path = secretPath(directory)
  let secret: string
  try {
    secret = readFileSync(path, 'utf8').trimEnd()
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw new SecretError(`the secret in ${path} cannot be read: ${(error as Error).message}`)
  }
  if (!SECRET_PATTERN.test(secret) || isRepeated(secret)) {
    throw new SecretError(
      `the secret in ${path} is damaged: expected ${SECRET_BYTES} random bytes as base64url. Restore the file, or delete it so that the next start generates another; tokens signed with the old one are refused then`
    )
  }
  return secret
}

/**
 * Returns the secret of an earlier start, or generates one. The file is written to a temporary name, synced and linked into place, so that
 * a crash leaves either no file or a whole one, and two starts at once agree on one secret.
 *
 * @throws SecretError
 */
export function generatedSecret(directory: string): { secret: string; generated: boolean } {
  const existing = readGeneratedSecret(directory)
  if (existing !== undefined) return { secret: existing, generated: false }
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    if (place(directory, `${secret}\n`)) return { secret, generated: true }
  } catch (error) {
    throw new SecretError(`DATA_DIR must be a folder that this process can write, for the secret of tokens: ${(error as Error).message}`)
  }
  return generatedSecret(directory)
}

/** Returns false if another process has put a secret there first. */
function place(directory: string, text: string): boolean {
  const path = secretPath(directory)
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
    syncDirectory(directory)
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

/** One character throughout, as a block that was never written reads. */
function isRepeated(text: string): boolean {
  return text === (text[0] as string).repeat(text.length)
}
