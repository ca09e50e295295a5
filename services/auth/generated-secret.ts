import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { placeSecretFile, readSecretFile, SecretError } from './secret-file.ts'

const SECRET_FILE = 'jwt-secret'
const SECRET_BYTES = 32
/** 32 bytes as base64url. */
const SECRET_PATTERN = /^[A-Za-z0-9_-]{43}$/

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
  const secret = readSecretFile(path, 'the secret')
  if (secret === undefined) return undefined
  if (!SECRET_PATTERN.test(secret) || isRepeated(secret)) {
    throw new SecretError(
      `the secret in ${path} is damaged: expected ${SECRET_BYTES} random bytes as base64url. Restore the file, or delete it so that the next start generates another; tokens signed with the old one are refused then`
    )
  }
  return secret
}

/** The settings that say which key verifies tokens. */
interface KeySettings {
  JWT_SECRET: string
  JWT_PUBLIC_KEY: string
  JWKS_URL: string
  DATA_DIR: string
}

/**
 * Returns the secret of an earlier start, or generates one, if the settings name no key; undefined if they name one.
 *
 * @throws SecretError
 */
export function secretWithoutKey(settings: KeySettings): { secret: string; generated: boolean } | undefined {
  const { JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL, DATA_DIR } = settings
  return JWT_SECRET + JWT_PUBLIC_KEY + JWKS_URL === '' ? generatedSecret(DATA_DIR) : undefined
}

/**
 * Returns the secret of an earlier start, or generates one.
 *
 * @throws SecretError
 */
function generatedSecret(directory: string): { secret: string; generated: boolean } {
  const existing = readGeneratedSecret(directory)
  if (existing !== undefined) return { secret: existing, generated: false }
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  if (placeSecretFile(secretPath(directory), secret, 'the secret of tokens')) return { secret, generated: true }
  return generatedSecret(directory)
}

/** One character throughout, as a block that was never written reads. */
function isRepeated(text: string): boolean {
  return text === (text[0] as string).repeat(text.length)
}
