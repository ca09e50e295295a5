/** The texts of the bell. */
export interface BellMessages {
  /** The title of the panel. */
  title: string
  /** The button's name for a screen reader. */
  button: (unread: number) => string
  /** The badge; '' for none. */
  badge: (unread: number) => string
  markAllRead: string
  archive: (title: string) => string
  /** Read by screen readers before the title of an unread notification. */
  unread: string
  empty: string
  emptyHint: string
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
  undo: string
  /** Shown on the row of a change that failed and was taken back. */
  markFailed: string
  archiveFailed: string
  /** Shown if "mark all read" or an undo failed. */
  markAllFailed: string
  undoFailed: string
  answerFailed: string
  /** The answer to a notification, given on this device: the title of the action. */
  answered: (action: string) => string
  /** The same, given on another device; `link` stands for an answer link in a push or a mail. */
  answeredElsewhere: (action: string, deviceId: string) => string
  /** The name of the button that closes a toast. */
  dismiss: (title: string) => string
  /** Announced to screen readers when notifications arrive. */
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
  answerFailed: 'Could not be answered.',
  answered: (action) => `Answered: ${action}`,
  answeredElsewhere: (action, deviceId) => `Answered ${deviceId === 'link' ? 'by link' : `on another device (${deviceId})`}: ${action}`,
  dismiss: (title) => `Close: ${title}`,
  arrived: (title) => `New notification: ${title}`,
  arrivedMany: (count) => `${count} new notifications`
}
