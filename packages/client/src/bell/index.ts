import { BelfryBell } from './bell-element.ts'
import { BelfryInbox } from './inbox-element.ts'

export { BelfryBell } from './bell-element.ts'
export type { BelfryBellEventMap, BelfryInboxEventMap, TabContext } from './events.ts'
export { BelfryInbox } from './inbox-element.ts'
export type { BelfryBellProps, BelfryInboxProps } from './jsx.ts'
export { type BellLanguage, type BellMessages, type BellMessagesInput, englishMessages } from './messages.ts'
export type { RenderItem } from './own-rows.ts'
export type { Placement } from './place.ts'
export type { BellTab } from './tab-filters.ts'

declare global {
  interface HTMLElementTagNameMap {
    'belfry-bell': BelfryBell
    'belfry-inbox': BelfryInbox
  }
}

if (globalThis.customElements) {
  if (!customElements.get('belfry-bell')) customElements.define('belfry-bell', BelfryBell)
  if (!customElements.get('belfry-inbox')) customElements.define('belfry-inbox', BelfryInbox)
}
