import type { Belfry } from '../index.ts'
import type { BelfryOptions } from '../types.ts'
import type { BelfryBell } from './element.ts'
import type { BelfryBellEventMap } from './events.ts'
import type { BellMessages } from './messages.ts'

type Handlers = { [E in keyof BelfryBellEventMap as `on${E}`]?: ((event: BelfryBellEventMap[E]) => void) | undefined }

/** The attributes of `<belfry-bell>`, and its properties and event handlers for frameworks that set those, as React 19 does. */
export interface BelfryBellProps extends Handlers {
  url?: string | undefined
  'token-url'?: string | undefined
  user?: string | null | undefined
  theme?: 'light' | 'dark' | undefined
  toasts?: boolean | '' | undefined
  client?: Belfry | undefined
  getToken?: BelfryOptions['getToken'] | undefined
  messages?: Partial<BellMessages> | undefined
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
    }
  }
}
