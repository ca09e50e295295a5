/** Reply of a script. Text comes as bytes. */
export type Reply = number | Buffer | Reply[]

export function list(reply: Reply | undefined): Reply[] {
  if (!Array.isArray(reply)) throw new TypeError('a Redis script replied with something other than a list')
  return reply
}

export function text(reply: Reply | undefined): string {
  return bytes(reply).toString()
}

export function bytes(reply: Reply | undefined): Buffer {
  if (!Buffer.isBuffer(reply)) throw new TypeError('a Redis script replied with something other than text')
  return reply
}

export function number(reply: Reply | undefined): number {
  if (typeof reply !== 'number') throw new TypeError('a Redis script replied with something other than a number')
  return reply
}
