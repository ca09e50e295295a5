import type { State } from '../../../services/protocol/index.ts'
import type { Client } from './client.ts'
import type { InboxItem } from './inbox-items.ts'
import { matchesType } from './patterns.ts'
import { request } from './rest.ts'
import type { Counts } from './types.ts'

const PAGE = 50
/** The largest page of the service. */
const MAX_PAGE = 200

/** The filter of an inbox. */
export interface InboxOptions {
  /** Only notifications in these states. `unread` includes `seen`, as the unread count does. Default: all states. */
  states?: readonly State[] | undefined
  /** Only notifications of these types, at most 10: each is a type, or a prefix of types with `*` at its end (`sync.*`). Default: all types. */
  types?: readonly string[] | undefined
}

/** Returns true if the notification passes the filter. */
export function passes({ state, type }: InboxItem, { states, types }: InboxOptions): boolean {
  return (states?.includes(state) ?? true) && (!types || matchesType(type, types))
}

export interface InboxPage extends Counts {
  items: InboxItem[]
  nextCursor?: string | null
  count?: number
}

/** Requests pages until there are `wanted` notifications, at least one page. The first page has the count of all pages. */
export async function loadPages(belfry: Client, filter: InboxOptions, cursor: string | undefined, wanted: number): Promise<InboxPage> {
  const limit = Math.min(Math.max(wanted, PAGE), MAX_PAGE)
  const list = (name: string, values: readonly string[] | undefined) => (values ? `&${name}=${encodeURIComponent(values.join())}` : '')
  const from = list('cursor', cursor ? [cursor] : undefined) || '&count=true'
  const path = `/v1/me/notifications?limit=${limit}${list('state', filter.states)}${list('type', filter.types)}${from}`
  const page = (await request(belfry, path)) as InboxPage
  if (!page.nextCursor || page.items.length >= wanted) return page
  const { items, nextCursor } = await loadPages(belfry, filter, page.nextCursor, wanted - page.items.length)
  return { ...page, items: [...page.items, ...items], nextCursor: nextCursor ?? null }
}
