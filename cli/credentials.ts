import { readGeneratedSecret } from '../services/auth/generated-secret.ts'
import { SecretError } from '../services/auth/secret-file.ts'
import { signToken } from '../services/auth/signing.ts'

/** A command failed: it ends with exit code 1 and the message on stderr. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  /** The service did not answer, or cannot serve for now: the same command may succeed later. */
  readonly temporary: boolean
  /** Of the answer of the service; undefined if there was none. */
  readonly status: number | undefined

  constructor(message: string, { temporary = false, status }: { temporary?: boolean; status?: number } = {}) {
    super(message)
    this.temporary = temporary
    this.status = status
  }
}

/** The settings of the service that decide how a token is signed. */
interface KeySource {
  JWT_SECRET: string
  JWT_PUBLIC_KEY: string
  JWKS_URL: string
  JWT_ISSUER: string
  JWT_AUDIENCE: string
  DATA_DIR: string
}

/**
 * Signs a token with the secret of the service, with the issuer and audience that the service checks.
 *
 * @param seconds lifetime of the token; default 24 h
 * @throws CommandError when there is no secret to sign with
 */
export function sign(source: KeySource, sub: string, scope: string, seconds?: number): string {
  const claims = {
    ...(source.JWT_ISSUER === '' ? {} : { iss: source.JWT_ISSUER }),
    ...(source.JWT_AUDIENCE === '' ? {} : { aud: source.JWT_AUDIENCE })
  }
  return signToken(secretOf(source), sub, scope, seconds, claims)
}

function secretOf({ JWT_SECRET, JWT_PUBLIC_KEY, JWKS_URL, DATA_DIR }: KeySource): string {
  if (JWT_SECRET !== '') return JWT_SECRET
  if (JWT_PUBLIC_KEY !== '' || JWKS_URL !== '') {
    throw new CommandError('the service takes tokens of a private key, which is not here: get one from its issuer, and pass --token')
  }
  const secret = generatedIn(DATA_DIR)
  if (secret !== undefined) return secret
  throw new CommandError(`no token: pass --token, set JWT_SECRET, or run this where the service generated a secret (none in ${DATA_DIR})`)
}

function generatedIn(folder: string): string | undefined {
  try {
    return readGeneratedSecret(folder)
  } catch (error) {
    throw error instanceof SecretError ? new CommandError(error.message) : error
  }
}
