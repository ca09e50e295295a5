import type { Action } from '../../../../services/protocol/index.ts'
import type { InboxItem } from '../inbox.ts'
import type { ErrorContext, NotificationContext, ToastContext } from '../types.ts'

/** Events of `<belfry-bell>`. All bubble, out of shadow trees too. */
export interface BelfryBellEventMap {
  'belfry-notification': CustomEvent<NotificationContext>
  /** `preventDefault()` stops the bell from showing the toast, which it does if it has the attribute `toasts`. */
  'belfry-toast': CustomEvent<ToastContext>
  /** An error of the SDK, or of a change that the user made in the panel. */
  'belfry-error': CustomEvent<ErrorContext>
  /** The user clicked a notification. `preventDefault()` stops the browser from following its link. */
  'belfry-select': CustomEvent<InboxItem>
  /** The user chose an action of a notification, and the answer is on its way. `preventDefault()` stops the bell from opening its `url`. */
  'belfry-action': CustomEvent<{ item: InboxItem; action: Action }>
  'belfry-open': CustomEvent<null>
  'belfry-close': CustomEvent<null>
}

declare global {
  /** The map that elements, documents and windows inherit. */
  interface GlobalEventHandlersEventMap extends BelfryBellEventMap {}
}
