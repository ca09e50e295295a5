import { createECDH } from 'node:crypto'

const PUBLIC_BYTES = 65
const PRIVATE_BYTES = 32

/** The keys that identify this service to push services (RFC 8292), base64url. */
export interface VapidKeys {
  publicKey: string
  privateKey: string
}

/** The keys, and the contact that push services get. */
export interface VapidIdentity extends VapidKeys {
  /** A `mailto:` or `https:` address. */
  subject: string
}

/** Makes a new pair of keys. */
export function makeVapidKeys(): VapidKeys {
  const curve = createECDH('prime256v1')
  const publicKey = curve.generateKeys('base64url')
  // The number may have zeros in front, which Node leaves out.
  const privateKey = Buffer.concat([Buffer.alloc(PRIVATE_BYTES), curve.getPrivateKey()]).subarray(-PRIVATE_BYTES)
  return { publicKey, privateKey: privateKey.toString('base64url') }
}

/** Returns true if the private key is the one of the public key, both in the form of `makeVapidKeys`. */
export function areVapidKeys({ publicKey, privateKey }: VapidKeys): boolean {
  const [open, secret] = [Buffer.from(publicKey, 'base64url'), Buffer.from(privateKey, 'base64url')]
  const isCanonical = open.toString('base64url') === publicKey && secret.toString('base64url') === privateKey
  if (!isCanonical || open.length !== PUBLIC_BYTES || secret.length !== PRIVATE_BYTES) return false
  const curve = createECDH('prime256v1')
  try {
    curve.setPrivateKey(secret)
  } catch {
    return false
  }
  return curve.getPublicKey().equals(open)
}

/** Returns true for a contact that push services accept: a `mailto:` address, or an https address. */
export function isVapidSubject(subject: string): boolean {
  if (/^mailto:[^@\s]+@[^@\s]+$/.test(subject)) return true
  return URL.canParse(subject) && new URL(subject).protocol === 'https:'
}
