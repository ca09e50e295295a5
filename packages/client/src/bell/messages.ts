/** Every text of the bell. */
export interface BellMessages {
  /** The button's name and the panel's title. */
  title: string
  /** The button's name for a screen reader. */
  button: (unread: number) => string
  /** The badge; '' for none. */
  badge: (unread: number) => string
  markAllRead: string
  archive: (title: string) => string
  /** Said of an unread one before its title, to screen readers. */
  unread: string
  empty: string
  emptyHint: string
  loading: string
  failed: string
  retry: string
  offline: string
  /** The service closed for good: a token that is refused, an operator. */
  stopped: string
  reconnect: string
  justNow: string
  /** Said after an archiving, with the action that takes it back. */
  archived: string
  undo: string
  /** Said on the row whose change failed and was taken back. */
  markFailed: string
  archiveFailed: string
  /** Said when "mark all read" failed, and when an archiving could not be taken back. */
  markAllFailed: string
  undoFailed: string
  /** Said to screen readers when something arrived. */
  arrived: (title: string) => string
  arrivedMany: (count: number) => string
}

export const englishMessages: BellMessages = {
  title: 'Notifications',
  button: (unread) => (unread === 0 ? 'Notifications' : `Notifications, ${unread} unread`),
  badge: (unread) => (unread === 0 ? '' : unread > 99 ? '99+' : String(unread)),
  markAllRead: 'Mark all read',
  archive: (title) => `Archive: ${title}`,
  unread: 'Unread',
  empty: 'All caught up',
  emptyHint: 'New notifications appear here as they happen.',
  loading: 'Loading',
  failed: 'Notifications could not be loaded.',
  retry: 'Try again',
  offline: 'Offline. Reconnecting…',
  stopped: 'The connection was closed.',
  reconnect: 'Reconnect',
  justNow: 'now',
  archived: 'Archived.',
  undo: 'Undo',
  markFailed: 'Could not be marked as read.',
  archiveFailed: 'Could not be archived.',
  markAllFailed: 'Could not be marked as read.',
  undoFailed: 'Could not be restored.',
  arrived: (title) => `New notification: ${title}`,
  arrivedMany: (count) => `${count} new notifications`
}
