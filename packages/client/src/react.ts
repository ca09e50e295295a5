'use client'

import {
  type ComponentType,
  type CSSProperties,
  createContext,
  createElement,
  type ForwardRefExoticComponent,
  forwardRef,
  type ReactElement,
  type ReactNode,
  type RefAttributes,
  type RefObject,
  useContext,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore
} from 'react'
import type { Answer, State } from '../../../services/protocol/index.ts'
import type { BelfryBell as BellElement } from './bell/bell-element.ts'
import type { BelfryBellEventMap, BelfryInboxEventMap } from './bell/events.ts'
import type { BelfryInbox as InboxElement } from './bell/inbox-element.ts'
import type { BellMessagesInput } from './bell/messages.ts'
import type { Placement } from './bell/place.ts'
import type { BellTab } from './bell/tab-filters.ts'
import { disconnected } from './errors.ts'
import { Feed } from './feed.ts'
import { EMPTY_FEED, type FeedSnapshot } from './feed-snapshot.ts'
import type { InboxItem } from './inbox.ts'
import { Belfry } from './index.ts'
import type { BelfryOptions, MarkOptions, MarkTarget, PushOptions, PushState } from './types.ts'

interface ClientProps {
  /** A client that the app makes, connects and disconnects. */
  client: Belfry
  children?: ReactNode
}

interface ServiceProps extends BelfryOptions {
  /**
   * The address of the service. The provider is connected while it is mounted. It makes a new client for another `url` or `user`; changes
   * of the other options are ignored.
   */
  url: string
  /**
   * The signed-in user, by any name that the app has for them. With another user the hooks are empty from that render on, and `getToken`
   * is called. null or '': nobody is signed in, and the provider does not connect. Not given: the token alone names the user.
   */
  user?: string | null | undefined
  children?: ReactNode
}

export type BelfryProviderProps = ClientProps | ServiceProps

export interface Notifications extends FeedSnapshot {
  /** Loads the next page. Rejects with a `BelfryError`, or with the error of `fetch` or `getToken`; `error` has it too. */
  loadMore(): Promise<void>
  /** Shows the mark at once, and takes it back if it fails. Resolves with the ids that changed. Rejects with a `BelfryError`. */
  mark(target: MarkTarget, state?: State, options?: MarkOptions): Promise<string[]>
  /**
   * Answers a notification by one of its `actions`: the first answer of all devices wins. Until the service has answered, the item has
   * `answering`, and then `answer`. Rejects with a `BelfryError`, which has the `answer` of another device if that was first.
   */
  answer(id: string, action: string): Promise<Answer>
  /** Marks all notifications that have arrived as read. Rejects as `mark` does. */
  markAllRead(): Promise<void>
}

/** The props `onNotification`, `onSelect` and so on: one for each event of the element. */
type EventProps<Events> = {
  [E in keyof Events as E extends `belfry-${infer Name}` ? `on${Capitalize<Name>}` : never]?: ((event: Events[E]) => void) | undefined
}

interface ElementProps {
  /** The address of the service, if the element makes a client of its own. */
  url?: string | undefined
  /** A GET there answers the user's token. */
  tokenUrl?: string | undefined
  user?: string | null | undefined
  /** Default: the client of the `BelfryProvider` above, unless there is a `url`. */
  client?: Belfry | undefined
  getToken?: BelfryOptions['getToken'] | undefined
  messages?: BellMessagesInput | undefined
  tabs?: readonly BellTab[] | undefined
  /** Renders the content of each row. It has the contexts of the place at which the element is. */
  renderItem?: ComponentType<{ item: InboxItem }> | undefined
  /** The app's service worker: with it the panel has a switch of Web Push. */
  serviceWorker?: PushOptions['serviceWorker'] | undefined
  theme?: 'light' | 'dark' | undefined
  lang?: string | undefined
  className?: string | undefined
  style?: CSSProperties | undefined
  id?: string | undefined
  /** Elements with `slot="header"`, `slot="footer"` or `slot="empty"`. */
  children?: ReactNode
}

/** The props of `<BelfryInbox>`. The handlers get the events of the element: `event.detail` is their context. */
export interface BelfryInboxProps extends ElementProps, EventProps<BelfryInboxEventMap> {}

/** The props of `<BelfryBell>`: those of `<BelfryInbox>`, and more. */
export interface BelfryBellProps extends ElementProps, EventProps<BelfryBellEventMap> {
  badge?: 'unread' | 'unseen' | 'none' | undefined
  placement?: Placement | undefined
  /** The bell shows toasts of its own. */
  toasts?: boolean | undefined
}

export interface PushSwitch {
  push: PushState
  /** Call it when the user presses a button: see `Belfry.enablePush`. */
  enablePush(options: PushOptions): Promise<PushState>
  disablePush(): Promise<void>
}

/** Holds the feed between renders. There is no feed on a server, and before the provider has mounted. */
class Store {
  #client: Belfry | undefined
  #feed: Feed | undefined
  #off: (() => void) | undefined
  #wanted = false
  readonly #listeners = new Set<() => void>()

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  readonly snapshot = (): FeedSnapshot => this.#feed?.snapshot ?? EMPTY_FEED
  readonly unread = (): number => this.snapshot().unread
  readonly client = (): Belfry | undefined => this.#client
  readonly loadMore = async (): Promise<void> => this.#open().loadMore()
  readonly mark = async (target: MarkTarget, state?: State, options?: MarkOptions): Promise<string[]> =>
    this.#open().inbox.mark(target, state, options)
  readonly answer = async (id: string, action: string): Promise<Answer> => this.#open().inbox.answer(id, action)
  readonly markAllRead = async (): Promise<void> => this.#open().inbox.markAllRead()
  readonly enablePush = (options: PushOptions): Promise<PushState> => this.#client?.enablePush(options) ?? Promise.reject(disconnected())
  readonly disablePush = (): Promise<void> => this.#client?.disablePush() ?? Promise.reject(disconnected())

  follow(belfry: Belfry): () => void {
    const feed = new Feed(belfry)
    this.#client = belfry
    this.#feed = feed
    this.#off = feed.subscribe(() => this.#tell())
    if (this.#wanted) feed.open()
    this.#tell()
    return () => {
      this.#off?.()
      feed.close()
      this.#client = undefined
      this.#feed = undefined
      this.#tell()
    }
  }

  /** Loads the first page, because a component shows the list. */
  want(): void {
    this.#wanted = true
    this.#feed?.open()
  }

  #open(): Feed {
    if (this.#feed) return this.#feed
    throw disconnected()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }
}

const Context = createContext<Store | undefined>(undefined)

/** Provides the client of the hooks below it. */
export function BelfryProvider(props: BelfryProviderProps): ReactElement {
  const client = 'client' in props ? props.client : undefined
  const url = 'client' in props ? undefined : props.url
  const user = 'client' in props ? undefined : props.user
  // A new store for each client: the hooks never show data of the last client, not even for one render.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the dependencies identify the client
  const store = useMemo(() => new Store(), [client, url, user])
  const latest = useRef(props)
  useEffect(() => {
    latest.current = props
  })
  useEffect(() => {
    if (client) return store.follow(client)
    const { url: base, user: signedIn, children, ...options } = latest.current as ServiceProps
    if (url !== base || user === null || user === '') return undefined
    const own = new Belfry(base, { ...options, getToken: (ctx) => (latest.current as ServiceProps).getToken(ctx) })
    const unfollow = store.follow(own)
    own.connect()
    return () => {
      unfollow()
      own.disconnect()
    }
  }, [store, client, url, user])
  return createElement(Context.Provider, { value: store }, props.children)
}

/** Returns the live inbox and its actions. Loads the first page. Throws outside of a `BelfryProvider`. */
export function useNotifications(): Notifications {
  const store = useStore()
  const snapshot = useSyncExternalStore(store.subscribe, store.snapshot, () => EMPTY_FEED)
  useEffect(() => store.want(), [store])
  const { loadMore, mark, answer, markAllRead } = store
  return { ...snapshot, loadMore, mark, answer, markAllRead }
}

/** Returns the unread count, and renders only when the count changes. Throws outside of a `BelfryProvider`. */
export function useUnreadCount(): number {
  const store = useStore()
  return useSyncExternalStore(store.subscribe, store.unread, () => 0)
}

/**
 * Returns the state of Web Push in this browser, and its switch. `off` on servers, and while there is no client. Throws outside of a
 * `BelfryProvider`.
 */
export function usePush(): PushSwitch {
  const store = useStore()
  const [subscribe, snapshot] = useMemo(() => {
    const follow = (listener: () => void): (() => void) => {
      let off = store.client()?.on('push', listener)
      const unsubscribe = store.subscribe(() => {
        off?.()
        off = store.client()?.on('push', listener)
        listener()
      })
      return () => {
        off?.()
        unsubscribe()
      }
    }
    return [follow, (): PushState => store.client()?.push ?? 'off'] as const
  }, [store])
  const push = useSyncExternalStore(subscribe, snapshot, () => 'off' as const)
  return { push, enablePush: store.enablePush, disablePush: store.disablePush }
}

function useStore(): Store {
  const store = useContext(Context)
  if (!store) throw new Error('there is no BelfryProvider above this component')
  return store
}

/** The rows of one element that `renderItem` renders. */
class Rows {
  #rowById = new Map<string, Row>()
  #rows: readonly Row[] = NO_ROWS
  #isTelling = false
  readonly #listeners = new Set<() => void>()

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  readonly snapshot = (): readonly Row[] => this.#rows

  /** Takes a row from the element. */
  readonly render = (item: InboxItem, place: HTMLElement): void => {
    this.#rowById.set(item.id, { item, place })
    this.#tell()
  }

  /** Drops the rows that the element has removed. */
  readonly prune = (): void => {
    for (const [id, { place }] of this.#rowById) if (!place.isConnected) this.#rowById.delete(id)
    if (this.#rowById.size < this.#rows.length) this.#tell()
  }

  /** Renders once for all rows of this turn. */
  #tell(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    queueMicrotask(() => {
      this.#isTelling = false
      this.#rows = [...this.#rowById.values()]
      for (const listener of this.#listeners) listener()
    })
  }
}

interface Row {
  item: InboxItem
  /** The element that the bell shows for the row. Its slot is that of the row. */
  place: HTMLElement
}

const NO_ROWS: readonly Row[] = []
const unchanging = () => () => {}
/** React warns of layout effects on servers. */
const useBrowserEffect = globalThis.document === undefined ? useEffect : useLayoutEffect

/** Sets a property of the element when `key` changes. A property that was never given is not touched. */
function useProperty(element: RefObject<HTMLElement>, name: string, value: unknown, key: unknown = value): void {
  const wasGiven = useRef(false)
  useBrowserEffect(() => {
    if (value === undefined && !wasGiven.current) return
    wasGiven.current = true
    Object.assign(element.current ?? {}, { [name]: value })
  }, [key])
}

/** Returns the component of an element. The module that defines the element is loaded when the component is mounted. */
function componentOf<Props extends BelfryInboxProps, Element extends HTMLElement>(
  tag: string
): ForwardRefExoticComponent<Props & RefAttributes<Element>> {
  const Component = forwardRef<Element, BelfryBellProps>((props, forwarded) => {
    const { url, tokenUrl, user, theme, lang, badge, placement, toasts, className, style, id, children } = props
    const { client, getToken, messages, tabs, serviceWorker, renderItem: Content } = props
    const element = useRef<Element>(null)
    const latest = useRef(props)
    const [rows] = useState(() => new Rows())
    const store = useContext(Context)
    const provided = useSyncExternalStore(
      store?.subscribe ?? unchanging,
      () => store?.client(),
      () => undefined
    )
    const shown = useSyncExternalStore(rows.subscribe, rows.snapshot, () => NO_ROWS)
    const events = Object.keys(props)
      .filter((name) => /^on[A-Z]/.test(name))
      .join()
    useImperativeHandle(forwarded, () => element.current as Element)
    useBrowserEffect(() => {
      latest.current = props
    })
    useBrowserEffect(() => {
      const target = element.current
      const listeners = events.split(',').map((name) => {
        // Events of elements inside this one bubble through it.
        const listener = (event: Event) => event.target === target && latest.current[name as 'onSelect']?.(event as never)
        return [`belfry-${name.slice(2).toLowerCase()}`, listener] as const
      })
      for (const [name, listener] of listeners) target?.addEventListener(name, listener)
      return () => {
        for (const [name, listener] of listeners) target?.removeEventListener(name, listener)
      }
    }, [events])
    // A new function would make a new client.
    const stable: BelfryOptions['getToken'] | undefined = getToken && ((ctx) => (latest.current as BelfryOptions).getToken(ctx))
    useProperty(element, 'client', client ?? (url === undefined ? provided : undefined))
    useProperty(element, 'getToken', stable, getToken !== undefined)
    useProperty(element, 'messages', messages)
    useProperty(element, 'serviceWorker', serviceWorker)
    useProperty(element, 'tabs', tabs, JSON.stringify(tabs))
    useProperty(element, 'renderItem', Content && rows.render, Content !== undefined)
    useEffect(() => {
      // On servers the element is not needed, nor is it in apps that use the hooks alone.
      void import('./bell/define.ts')
      const observer = new MutationObserver(rows.prune)
      observer.observe(element.current as Element, { childList: true })
      return () => observer.disconnect()
    }, [rows])
    const attributes = {
      url,
      'token-url': tokenUrl,
      user: user ?? undefined,
      theme,
      lang,
      badge,
      placement,
      toasts: toasts ? '' : undefined
    }
    const contents = (Content ? shown : NO_ROWS).map(({ item, place }) =>
      createElement('div', { key: item.id, slot: place.slot }, Content && createElement(Content, { item }))
    )
    return createElement(tag, { ref: element, class: className, style, id, ...attributes }, children, contents)
  })
  Component.displayName = tag
  return Component as unknown as ForwardRefExoticComponent<Props & RefAttributes<Element>>
}

/** The element `<belfry-bell>`: a bell with a badge, and the inbox in a panel. */
export const BelfryBell = componentOf<BelfryBellProps, BellElement>('belfry-bell')

/** The element `<belfry-inbox>`: the inbox as a part of a page. */
export const BelfryInbox = componentOf<BelfryInboxProps, InboxElement>('belfry-inbox')
