/** 1 to 128 printable characters: no control, format, private or unassigned ones, no half of a surrogate pair. */
export const USER_PATTERN = '^[^\\p{C}]{1,128}$'

/** The same for `device_id`. */
export const DEVICE_PATTERN = USER_PATTERN

const USER = new RegExp(USER_PATTERN, 'u')

export function isUser(value: unknown): value is string {
  return typeof value === 'string' && USER.test(value)
}
