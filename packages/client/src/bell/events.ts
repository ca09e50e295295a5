import type { Action } from '../../../../services/protocol/index.ts'
import type { InboxItem } from '../inbox.ts'
import type { ErrorContext, NotificationContext, ToastContext } from '../types.ts'

/** A tab: `all`, `unread`, `archived`, or '' for a tab of the app. */
export interface TabContext {
  name: 'all' | 'unread' | 'archived' | ''
  label: string
}

/** Events of `<belfry-inbox>`. All bubble, out of shadow trees too. */
export interface BelfryInboxEventMap {
  'belfry-notification': CustomEvent<NotificationContext>
  /** An error of the SDK, or of a change that the user made in the element. */
  'belfry-error': CustomEvent<ErrorContext>
  /** The user clicked a notification. `preventDefault()` stops the browser from following its link. */
  'belfry-select': CustomEvent<InboxItem>
  /** The user chose an action of a notification, and the answer is on its way. `preventDefault()` stops the element from opening its `url`. */
  'belfry-action': CustomEvent<{ item: InboxItem; action: Action }>
  /** The user chose a tab. */
  'belfry-tab': CustomEvent<TabContext>
}

/** Events of `<belfry-bell>`. All bubble, out of shadow trees too. */
export interface BelfryBellEventMap extends BelfryInboxEventMap {
  /** `preventDefault()` stops the bell from showing the toast, which it does if it has the attribute `toasts`. */
  'belfry-toast': CustomEvent<ToastContext>
  'belfry-open': CustomEvent<null>
  'belfry-close': CustomEvent<null>
}

declare global {
  /** The map that elements, documents and windows inherit. */
  interface GlobalEventHandlersEventMap extends BelfryBellEventMap {}
}
