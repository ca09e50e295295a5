import type { InboxOptions } from '../inbox.ts'
import type { TabContext } from './events.ts'
import type { BellMessages } from './messages.ts'

/** A tab of the app: the notifications that are not archived, and whose type matches one of the patterns, such as `sync.*`. */
export interface BellTab {
  label: string
  types: string[]
}

export interface TabFilter extends InboxOptions {
  name: TabContext['name']
  label(messages: BellMessages): string
}

/** `unread` includes `seen`. */
const INBOX = ['unread', 'read'] as const

/** Returns the tabs in the order of the tab list; the first one is the whole inbox. */
export function tabFilters(own: readonly BellTab[]): TabFilter[] {
  return [
    { name: 'all', label: ({ tabAll }) => tabAll, states: INBOX },
    { name: 'unread', label: ({ tabUnread }) => tabUnread, states: ['unread'] },
    ...own.map(({ label, types }): TabFilter => ({ name: '', label: () => label, states: INBOX, types })),
    { name: 'archived', label: ({ tabArchived }) => tabArchived, states: ['archived'] }
  ]
}
