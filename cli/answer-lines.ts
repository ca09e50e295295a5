import { createInterface, type Interface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Belfry, BelfryError } from '../packages/client/src/index.ts'
import { type Output, printable, timeOf } from './output.ts'

/** Number of the latest notifications whose ids are kept, so that a line may name one by its first characters. */
const MAX_IDS = 1000

/** Most ids that are listed if several begin with the same characters. */
const LISTED = 3

/**
 * Reads lines `a <id> <action>`, and answers the one notification whose id begins with that text. After a failure, which is printed, it reads on.
 */
export function answerLines(input: Readable, belfry: Belfry, output: Output): Interface {
  const ids: string[] = []
  belfry.on('notification', ({ notification }) => {
    if (notification.actions !== undefined) ids.unshift(notification.id)
    ids.length = Math.min(ids.length, MAX_IDS)
  })
  const lines = createInterface({ input })
  lines.on('line', (line) => {
    const [, start = '', action = ''] = /^\s*a\s+(\S+)\s+(\S+)\s*$/.exec(line) ?? []
    if (action === '') {
      if (line.trim() !== '') output.talk('to answer a notification, type a, its id and the name of an action, for example: a 8Kx approve')
      return
    }
    const matching = ids.includes(start) ? [start] : ids.filter((known) => known.startsWith(start))
    if (matching.length > 1) {
      output.error(
        `belfry: several ids begin with ${start}: ${matching.slice(0, LISTED).join(', ')}${matching.length > LISTED ? ', …' : ''}`
      )
      return output.talk('type more characters of the id')
    }
    const [id = start] = matching
    belfry.answer(id, action).catch((error: BelfryError) => output.error(`belfry: ${error.code} ${error.message}${winnerIn(error)}`))
  })
  return lines
}

/** Returns the first answer as text, if the notification was answered before. */
function winnerIn({ answer }: BelfryError): string {
  return answer === undefined ? '' : printable(`: ${answer.action} by ${answer.deviceId}, ${timeOf(answer.answeredAt)}`)
}
