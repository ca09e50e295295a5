import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const SECRET_FILE = 'jwt-secret'

/** Where a secret that Belfry made is kept. */
export function secretPath(directory: string): string {
  return join(directory, SECRET_FILE)
}

/** The secret made earlier, or undefined. */
export function readGeneratedSecret(directory: string): string | undefined {
  try {
    return readFileSync(secretPath(directory), 'utf8').trim()
  } catch {
    return undefined
  }
}

/** The secret made earlier, else a new one, which only this user may read (mode 0600). */
export function generatedSecret(directory: string): { secret: string; made: boolean } {
  const kept = readGeneratedSecret(directory)
  if (kept !== undefined && kept !== '') return { secret: kept, made: false }
  const secret = randomBytes(32).toString('base64url')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeFileSync(secretPath(directory), `${secret}\n`, { mode: 0o600 })
  return { secret, made: true }
}
