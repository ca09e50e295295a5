import { createPublicKey } from 'node:crypto'
import type { PUBLIC_KEY_ALGORITHMS } from './tokens.ts'

/**
 * Returns the one algorithm of a public key: RS256 for RSA, ES256 for P-256, EdDSA for Ed25519.
 *
 * @param pem a public key; a private key is refused, although it contains the public one
 * @throws Error if the key is none of these
 */
export function publicKeyAlgorithm(pem: string): (typeof PUBLIC_KEY_ALGORITHMS)[number] {
  if (pem.includes('PRIVATE KEY')) throw new Error('JWT_PUBLIC_KEY must not be a private key')
  const key = createPublicKey(pem)
  if (key.asymmetricKeyType === 'rsa') return 'RS256'
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA'
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256'
  throw new Error('JWT_PUBLIC_KEY must be an RSA, P-256 or Ed25519 key')
}
