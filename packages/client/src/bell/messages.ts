import { canonicalLanguage } from './language-tag.ts'

/** The texts of the elements. */
export interface BellMessages {
  /** The title of the panel. */
  title: string
  /** The bell's name for a screen reader. */
  button: (unread: number) => string
  /** The same with `badge="unseen"`. */
  buttonUnseen: (unseen: number) => string
  /** The badge; '' for none. */
  badge: (count: number) => string
  tabAll: string
  tabUnread: string
  tabArchived: string
  markAllRead: string
  archiveAllRead: string
  /** The name of the menu of the panel. */
  options: string
  /** The name of the menu of a notification. */
  menu: (title: string) => string
  markRead: string
  markUnread: string
  archiveItem: string
  unarchive: string
  /** The name of the button on the row that archives. */
  archive: (title: string) => string
  /** Read by screen readers before the title of an unread notification. */
  unread: string
  /** Opens and closes the rest of a long body. */
  more: string
  less: string
  /** The rows that arrived above the visible ones. */
  newer: (count: number) => string
  /** The name of the button that closes the panel on small screens. */
  close: string
  empty: string
  emptyHint: string
  emptyArchived: string
  loading: string
  failed: string
  retry: string
  offline: string
  /** The service ended the connection permanently: it refused the token, or an operator disconnected the user. */
  stopped: string
  reconnect: string
  justNow: string
  /** Shown after an archiving, with the action `undo`. */
  archived: string
  archivedMany: (count: number) => string
  undo: string
  /** Shown on the row of a change that failed and was taken back. */
  markFailed: string
  unreadFailed: string
  archiveFailed: string
  unarchiveFailed: string
  answerFailed: string
  /** Shown if a change of many notifications or an undo failed. */
  markAllFailed: string
  archiveAllFailed: string
  undoFailed: string
  /** The answer to a notification, given on this device: the title of the action. */
  answered: (action: string) => string
  /** The same, given on another device. */
  answeredElsewhere: (action: string, deviceId: string) => string
  /** The same, given by an answer link in a push or a mail. */
  answeredByLink: (action: string) => string
  /** The name of the switch of Web Push, and what its states mean. */
  push: string
  pushOn: string
  pushOff: string
  /** The user refused the permission: only they can give it, in the settings of the browser. */
  pushDenied: string
  /** Safari on iOS has Web Push only in apps on the home screen. */
  pushHomeScreen: string
  pushFailed: string
  /** The name of the button that closes a toast. */
  dismiss: (title: string) => string
  /** Announced to screen readers when notifications arrive. */
  arrived: (title: string) => string
  arrivedMany: (count: number) => string
}

/**
 * A text as data. `{0}` and `{1}` are the arguments. In an object, the first argument chooses the text: by itself (`"0"`), or by its plural category
 * in the language of the file.
 */
export type MessageText = string | Readonly<Record<string, string>>

/** The content of a language file. */
export type BellLanguage = { readonly [Name in keyof BellMessages]?: MessageText } & { readonly lang: string }

/** Functions and strings of the page, or a language file, or one spread over the other. */
export type BellMessagesInput = { readonly [Name in keyof BellMessages]?: BellMessages[Name] | MessageText } & { readonly lang?: string }

const english: { readonly [Name in keyof BellMessages]: BellMessages[Name] | MessageText } = {
  title: 'Notifications',
  button: { 0: 'Notifications', other: 'Notifications, {0} unread' },
  buttonUnseen: { 0: 'Notifications', other: 'Notifications, {0} new' },
  badge: (count) => (count > 99 ? '99+' : count ? `${count}` : ''),
  tabAll: 'All',
  tabUnread: 'Unread',
  tabArchived: 'Archived',
  markAllRead: 'Mark all read',
  archiveAllRead: 'Archive all read',
  options: 'More options',
  menu: 'Options: {0}',
  markRead: 'Mark as read',
  markUnread: 'Mark as unread',
  archiveItem: 'Archive',
  unarchive: 'Move to inbox',
  archive: 'Archive: {0}',
  unread: 'Unread',
  more: 'Show more',
  less: 'Show less',
  newer: '{0} new',
  close: 'Close',
  empty: 'All caught up',
  emptyHint: 'New notifications appear here as they happen.',
  emptyArchived: 'Nothing archived',
  loading: 'Loading',
  failed: 'Notifications could not be loaded.',
  retry: 'Try again',
  offline: 'Offline. Reconnecting…',
  stopped: 'The connection was closed.',
  reconnect: 'Reconnect',
  justNow: 'now',
  archived: 'Archived.',
  archivedMany: '{0} archived.',
  undo: 'Undo',
  markFailed: 'Could not be marked as read.',
  unreadFailed: 'Could not be marked as unread.',
  archiveFailed: 'Could not be archived.',
  unarchiveFailed: 'Could not be moved to the inbox.',
  answerFailed: 'Could not be answered.',
  markAllFailed: 'Could not be marked as read.',
  archiveAllFailed: 'Could not be archived.',
  undoFailed: 'Could not be restored.',
  answered: 'Answered: {0}',
  answeredElsewhere: 'Answered on another device ({1}): {0}',
  answeredByLink: 'Answered by link: {0}',
  push: 'Notifications on this device',
  pushOn: 'You get notifications when this page is closed, too.',
  pushOff: 'Switch on to get notifications when this page is closed.',
  pushDenied: 'Your browser blocks notifications of this site. Allow them in its settings for this site.',
  pushHomeScreen: 'Add this app to your home screen to get notifications when it is closed.',
  pushFailed: 'Could not be changed. Try again.',
  dismiss: 'Close: {0}',
  arrived: 'New notification: {0}',
  arrivedMany: { one: '{0} new notification', other: '{0} new notifications' }
}

/** Returns all texts as functions and strings. Those that are not given are English. */
export function messagesOf(given: BellMessagesInput): BellMessages {
  const language = canonicalLanguage(given.lang ?? '')
  const entries = Object.entries(english).map(([name, fallback]) => {
    const own = given[name as keyof BellMessages]
    const text = own ?? fallback
    const isFixed = typeof text === 'function' || (typeof fallback === 'string' && !fallback.includes('{'))
    return [name, isFixed ? text : textOf(text, own === undefined ? 'en' : language)]
  })
  return Object.fromEntries(entries) as BellMessages
}

export const englishMessages: BellMessages = messagesOf({})

function textOf(text: MessageText, language: string | undefined): (...values: (string | number)[]) => string {
  const rules = new Intl.PluralRules(language)
  return (...values) => {
    const [first] = values
    const chosen = typeof text === 'string' ? text : (text[`${first}`] ?? text[rules.select(Number(first))] ?? text.other ?? '')
    return chosen.replace(/\{(\d)\}/g, (_, index) => `${values[index]}`)
  }
}
