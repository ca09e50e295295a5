import { MEMBERS_MAX } from '../services/store/audiences.ts'
import { isUser } from '../services/users.ts'
import { type TopicCommand, UsageError } from './arguments.ts'
import { callService, readAnswer } from './call-service.ts'
import { type Output, printable } from './output.ts'

/** Names of one page of members. */
const PAGE_LIMIT = 1000

/**
 * Adds members to a topic, removes members, or prints them.
 *
 * @param origin of the service
 * @param token with the scope `admin`
 * @param readInput reads stdin, for the user `-`
 * @throws UsageError if a line of stdin is no user; CommandError when the service refuses the request
 */
export async function topic(
  command: TopicCommand,
  origin: string,
  token: string,
  readInput: () => Promise<string>,
  output: Output
): Promise<void> {
  const { action } = command
  const url = `${origin}/v1/topics/${encodeURIComponent(command.topic)}/members`
  if (action === 'members') return await printMembers(url, token, output)
  const users = command.users[0] === '-' ? usersIn(await readInput()) : command.users
  const sum = { added: 0, removed: 0 }
  for (let from = 0; from < users.length; from += MEMBERS_MAX) {
    const response = await callService('PATCH', url, token, { [action]: users.slice(from, from + MEMBERS_MAX) })
    const { added, removed } = await readAnswer<typeof sum>(response)
    sum.added += added
    sum.removed += removed
  }
  output.data(sum, action === 'add' ? `added ${sum.added}` : `removed ${sum.removed}`)
}

async function printMembers(url: string, token: string, output: Output): Promise<void> {
  let cursor: string | null = ''
  do {
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const response = await callService('GET', `${url}?limit=${PAGE_LIMIT}${query}`, token)
    const page = await readAnswer<{ items: string[]; nextCursor: string | null }>(response)
    for (const user of page.items) output.data({ user }, printable(user))
    cursor = page.nextCursor
  } while (cursor !== null)
}

/** Returns the names in a text with one name a line. */
function usersIn(text: string): string[] {
  const users = text.split(/\r?\n/).filter((line) => line !== '')
  const wrong = users.findIndex((user) => !isUser(user))
  if (wrong >= 0)
    throw new UsageError(`line ${wrong + 1} of the users is no user: a user is 1 to 128 printable characters, but not . or ..`)
  return users
}
