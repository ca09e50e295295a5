import { createHash } from 'node:crypto'

/** Matches 1 to 128 printable characters: no control, format, private-use or unassigned ones, and no half of a surrogate pair. */
export const DEVICE_PATTERN = '^[^\\p{C}]{1,128}$'

/** Matches the same, except `.` and `..`, which clients that normalise URLs cannot put into a path. */
export const USER_PATTERN = '^(?!\\.{1,2}$)[^\\p{C}]{1,128}$'

/** Matches the name of a topic: topics are named as users are, and their names are in paths, too. */
export const TOPIC_PATTERN = USER_PATTERN

const USER = new RegExp(USER_PATTERN, 'u')

export function isUser(value: unknown): value is string {
  return typeof value === 'string' && USER.test(value)
}

/** Returns the name of a user in log lines: the first 12 hexadecimal digits of a SHA-256. */
export function userHash(user: string): string {
  return createHash('sha256').update(user).digest('hex').slice(0, 12)
}
