import { BelfryBell } from './element.ts'

export { BelfryBell } from './element.ts'
export type { BelfryBellEventMap } from './events.ts'
export type { BelfryBellProps } from './jsx.ts'
export { type BellMessages, englishMessages } from './messages.ts'

declare global {
  interface HTMLElementTagNameMap {
    'belfry-bell': BelfryBell
  }
}

if (globalThis.customElements && !customElements.get('belfry-bell')) customElements.define('belfry-bell', BelfryBell)
