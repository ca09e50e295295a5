/** Number of buckets that users and topics are spread over. Fixed for the life of a database. */
export const BUCKETS = 256

/** Returns the bucket of a user or a topic: FNV-1a over its UTF-16 units, folded to 8 bits. */
export function bucketOf(name: string): number {
  const hash = hashOf(name)
  return (hash ^ (hash >>> 8) ^ (hash >>> 16) ^ (hash >>> 24)) & (BUCKETS - 1)
}

/** Returns FNV-1a over the UTF-16 units of a name. */
export function hashOf(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return hash
}
