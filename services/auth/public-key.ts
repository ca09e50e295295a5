import { createPublicKey } from 'node:crypto'
import type { PUBLIC_KEY_ALGORITHMS } from './tokens.ts'

/**
 * The one algorithm that goes with a public key: RSA is RS256, P-256 is ES256, Ed25519 is EdDSA.
 *
 * @param pem a public key; a private one is refused, though the public one is in it
 * @throws Error when the key is none of these
 */
export function publicKeyAlgorithm(pem: string): (typeof PUBLIC_KEY_ALGORITHMS)[number] {
  if (pem.includes('PRIVATE KEY')) throw new Error('a private key has no business here')
  const key = createPublicKey(pem)
  if (key.asymmetricKeyType === 'rsa') return 'RS256'
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA'
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256'
  throw new Error('JWT_PUBLIC_KEY must be an RSA, P-256 or Ed25519 key')
}
