import type { Belfry } from '../index.ts'
import type { BelfryOptions, PushOptions } from '../types.ts'
import type { BelfryBell } from './bell-element.ts'
import type { BelfryBellEventMap, BelfryInboxEventMap } from './events.ts'
import type { BelfryInbox } from './inbox-element.ts'
import type { BellMessagesInput } from './messages.ts'
import type { RenderItem } from './own-rows.ts'
import type { Placement } from './place.ts'
import type { BellTab } from './tab-filters.ts'

type Handlers<Events> = { [E in keyof Events as E extends string ? `on${E}` : never]?: ((event: Events[E]) => void) | undefined }

interface SharedProps {
  url?: string | undefined
  'token-url'?: string | undefined
  user?: string | null | undefined
  theme?: 'light' | 'dark' | undefined
  client?: Belfry | undefined
  getToken?: BelfryOptions['getToken'] | undefined
  messages?: BellMessagesInput | undefined
  tabs?: readonly BellTab[] | undefined
  renderItem?: RenderItem | undefined
  serviceWorker?: PushOptions['serviceWorker'] | undefined
  'service-worker'?: string | undefined
}

/** The attributes of `<belfry-inbox>`, and its properties and event handlers for frameworks that set those, as React 19 does. */
export interface BelfryInboxProps extends SharedProps, Handlers<BelfryInboxEventMap> {}

/** The same of `<belfry-bell>`. */
export interface BelfryBellProps extends SharedProps, Handlers<BelfryBellEventMap> {
  badge?: 'unread' | 'unseen' | 'none' | undefined
  placement?: Placement | undefined
  toasts?: boolean | '' | undefined
}

// The JSX namespace of React 18.2.8 and later, and of 19. Without React there is nothing to augment: the error is ignored, also in the declarations.
// biome-ignore lint/suspicious/noTsIgnore: with React there is no error to expect
/** @ts-ignore */
declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      // biome-ignore lint/suspicious/noTsIgnore: as above
      /** @ts-ignore */
      'belfry-bell': BelfryBellProps & DetailedHTMLProps<HTMLAttributes<BelfryBell>, BelfryBell>
      // biome-ignore lint/suspicious/noTsIgnore: as above
      /** @ts-ignore */
      'belfry-inbox': BelfryInboxProps & DetailedHTMLProps<HTMLAttributes<BelfryInbox>, BelfryInbox>
    }
  }
}
