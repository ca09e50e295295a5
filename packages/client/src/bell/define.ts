import { BelfryBell } from './bell-element.ts'
import { BelfryInbox } from './inbox-element.ts'

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
