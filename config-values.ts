import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { publicKeyAlgorithm } from './services/auth/public-key.ts'

/** Shortest key of HS256 (RFC 7518 §3.2). */
const MIN_SECRET_BYTES = 32

/** Returns the PEM text in a value (line ends may be written \\n), or in the file whose path it is. */
export function readPem(name: `${'REDIS' | 'NATS'}_TLS_${'CERT' | 'KEY' | 'CA'}`, value: string, problems: string[]): string {
  if (value === '') return ''
  try {
    const pem = value.includes('-----BEGIN') ? value.replaceAll('\\n', '\n') : readFileSync(value, 'utf8')
    const kind = name.endsWith('_KEY') ? /-----BEGIN [A-Z ]*PRIVATE KEY-----/ : /-----BEGIN CERTIFICATE-----/
    if (kind.test(pem) && (name.endsWith('_KEY') || areCertificates(pem))) return pem
  } catch {
    // The problem is reported below. It does not show the path, because a key may stand in its place.
  }
  problems.push(`${name} must be ${name.endsWith('_KEY') ? 'a private key' : 'a certificate'} in PEM, or the path of one`)
  return ''
}

/** Returns whether each certificate of a text is whole. TLS ignores the others, so that each connection would fail with an unknown authority. */
function areCertificates(pem: string): boolean {
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?(-----END CERTIFICATE-----|$)/g) ?? []
  for (const certificate of certificates) new X509Certificate(certificate)
  return true
}

/** Returns the text of a credentials file, or of the seed of an NKey, from the value itself or from the file whose path it is. */
export function readNatsCredentials(name: 'NATS_CREDENTIALS' | 'NATS_NKEY_SEED', value: string, problems: string[]): string {
  if (value === '') return ''
  const [kind, pattern] =
    name === 'NATS_NKEY_SEED'
      ? ['the seed of a user (SU…)', /^SU[A-Z2-7]{56}$/]
      : ['a credentials file', /-----BEGIN NATS USER JWT-----[\s\S]+-----BEGIN USER NKEY SEED-----/]
  try {
    const text = (pattern.test(value.trim()) ? value : readFileSync(value, 'utf8')).trim()
    if (pattern.test(text)) return text
  } catch {
    // The problem is reported below, without the value.
  }
  problems.push(`${name} must be ${kind}, or the path of one`)
  return ''
}

/** Returns the secret without the newline at the end of files and of values of secret stores. */
export function readSecret(value: string, problems: string[]): string {
  const secret = value.replace(/[\r\n]+$/, '')
  if (value !== '' && Buffer.byteLength(secret) < MIN_SECRET_BYTES)
    problems.push(
      `JWT_SECRET must have ${MIN_SECRET_BYTES} bytes or more, as HS256 demands (RFC 7518 §3.2); \`openssl rand -hex 32\` makes one`
    )
  return secret
}

export function readPublicKey(value: string, problems: string[]): string {
  if (value === '') return ''
  try {
    const pem = value.includes('-----BEGIN') ? value.replaceAll('\\n', '\n') : readFileSync(value, 'utf8')
    publicKeyAlgorithm(pem)
    return pem
  } catch {
    problems.push('JWT_PUBLIC_KEY must be an RSA, P-256 or Ed25519 public key in PEM, or the path of one')
    return ''
  }
}

export function split(list: string): string[] {
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}
