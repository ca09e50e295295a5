import { createHash } from 'node:crypto'

/** Characters of a topic (RFC 8030 §5.4). */
const TOPIC_LENGTH = 32

/** Returns the topic of a collapse key. It is a hash, so that the push service does not learn the key. */
export function topicOf(collapseKey: string): string {
  return createHash('sha256').update(collapseKey).digest('base64url').slice(0, TOPIC_LENGTH)
}
