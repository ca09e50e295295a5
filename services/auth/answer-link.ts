import { createHmac, timingSafeEqual } from 'node:crypto'

/** The name of the secret of answer links in the store. */
export const ANSWER_LINK_SECRET = 'answer-link'

const MAC_BYTES = 32
/** Bytes of the expiry, Unix milliseconds. */
const EXPIRY_BYTES = 6
/** Longest lifetime of a link, milliseconds: 30 days. */
const MAX_LIFETIME_MS = 30 * 24 * 3600 * 1000

/** The notification that a link answers. */
interface LinkTarget {
  user: string
  id: string
}

/**
 * Returns an answer link. Its bearer may answer one notification of one user without a token, until the notification expires, and for at most 30 days.
 *
 * The link is the base64url of `HMAC-SHA256 | expiry (6 bytes) | length of the id (1) | id | user`, and the HMAC covers everything after it.
 *
 * @param secret 32 bytes that only the nodes have
 * @param expiresAt when the notification expires, Unix milliseconds; undefined: it does not expire
 * @param now Unix milliseconds
 */
export function signAnswerLink(secret: Buffer, { user, id }: LinkTarget, expiresAt: number | undefined, now: number): string {
  const head = Buffer.alloc(EXPIRY_BYTES + 1)
  head.writeUIntBE(Math.min(expiresAt ?? Number.POSITIVE_INFINITY, now + MAX_LIFETIME_MS), 0, EXPIRY_BYTES)
  head.writeUInt8(Buffer.byteLength(id), EXPIRY_BYTES)
  const content = Buffer.concat([head, Buffer.from(id), Buffer.from(user)])
  return Buffer.concat([macOf(secret, content), content]).toString('base64url')
}

/**
 * Returns the notification of a link, or undefined if the link was not made with this secret or has expired. The duration of the call depends
 * neither on the reason nor on how much of the HMAC is right.
 *
 * @param now Unix milliseconds
 */
export function readAnswerLink(secret: Buffer, link: string, now: number): LinkTarget | undefined {
  // Every link passes the same steps: bytes that are missing count as zero.
  const given = Buffer.from(link, 'base64url')
  const bytes = Buffer.concat([given, Buffer.alloc(Math.max(0, MAC_BYTES + EXPIRY_BYTES + 1 - given.length))])
  const content = bytes.subarray(MAC_BYTES)
  const isGenuine = timingSafeEqual(bytes.subarray(0, MAC_BYTES), macOf(secret, content))
  // A text with other characters, or other unused bits, decodes to the same bytes.
  const isCanonical = given.toString('base64url') === link
  const isCurrent = content.readUIntBE(0, EXPIRY_BYTES) > now
  const idEnd = EXPIRY_BYTES + 1 + content.readUInt8(EXPIRY_BYTES)
  const target = { id: content.toString('utf8', EXPIRY_BYTES + 1, idEnd), user: content.toString('utf8', idEnd) }
  return isGenuine && isCanonical && isCurrent ? target : undefined
}

function macOf(secret: Buffer, content: Buffer): Buffer {
  return createHmac('sha256', secret).update(content).digest()
}
