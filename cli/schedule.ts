import type { Notification } from '../services/protocol/index.ts'
import type { ScheduleCommand } from './arguments.ts'
import { callService, readAnswer } from './call-service.ts'
import { CommandError } from './credentials.ts'
import { type Output, printable, timeOf } from './output.ts'

/** Notifications of one page. */
const PAGE_LIMIT = 200

interface Page {
  items: (Notification & { deliverAt: number })[]
  nextCursor: string | null
}

/**
 * Prints the scheduled notifications of a user in the order of their delivery, or cancels one of them.
 *
 * @param origin of the service
 * @param token with the scope `admin`
 * @throws CommandError when the service refuses the request, or the notification to cancel is not scheduled
 */
export async function schedule({ user, cancel }: ScheduleCommand, origin: string, token: string, output: Output): Promise<void> {
  const base = `${origin}/v1/users/${encodeURIComponent(user)}`
  if (cancel !== undefined) {
    const url = `${base}/notifications/${encodeURIComponent(cancel)}`
    try {
      await callService('DELETE', `${url}?only=scheduled`, token)
    } catch (error) {
      if ((error as CommandError).status !== 404) throw error
      const { state } = await readAnswer<{ state: string }>(await callService('GET', url, token))
      throw new CommandError(`${cancel} is not scheduled: it is ${state}, and was not changed`)
    }
    return output.talk(`cancelled ${cancel}`)
  }
  let cursor: string | null = ''
  let isEmpty = true
  do {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`
    const response = await callService('GET', `${base}/scheduled?limit=${PAGE_LIMIT}${query}`, token)
    const page = await readAnswer<Page>(response)
    for (const item of page.items) {
      isEmpty = false
      output.data(item, [timeOf(item.deliverAt), item.type, item.title, item.id].map(printable).join('  '))
    }
    cursor = page.nextCursor
  } while (cursor !== null)
  if (isEmpty) output.talk('nothing is scheduled')
}
