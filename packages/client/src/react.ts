'use client'

import {
  createContext,
  createElement,
  type ReactElement,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useSyncExternalStore
} from 'react'
import type { State } from '../../../services/protocol/index.ts'
import { BelfryError } from './errors.ts'
import { EMPTY_FEED, Feed, type FeedSnapshot } from './feed.ts'
import { Belfry } from './index.ts'
import type { BelfryOptions, MarkTarget } from './types.ts'

interface ClientProps {
  /** A client of the app's own: the app connects and disconnects it. */
  client: Belfry
  children?: ReactNode
}

interface ServiceProps extends BelfryOptions {
  /**
   * Where the service is. The provider connects while it is mounted. Another url or user is another client; other options are those of
   * the client's first render.
   */
  url: string
  /**
   * Who is signed in, as the app names them: with another one the hooks are empty from that render on, and `getToken` is asked for a
   * token. null or '': nobody, and nothing is connected. Not given: the token alone decides.
   */
  user?: string | null | undefined
  children?: ReactNode
}

export type BelfryProviderProps = ClientProps | ServiceProps

export interface Notifications extends FeedSnapshot {
  /** Loads the next page. Rejects with a `BelfryError`, or with what `fetch` or `getToken` threw; `error` has it too. */
  loadMore(): Promise<void>
  /** Shown at once, and taken back when it fails. Rejects with a `BelfryError`. */
  mark(target: MarkTarget, state?: State): Promise<void>
  /** Marks as read all that has arrived. Rejects as `mark` does. */
  markAllRead(): Promise<void>
}

/** Holds the feed between renders: there is none on a server and before the provider has mounted. */
class Store {
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
  readonly loadMore = async (): Promise<void> => this.#open().loadMore()
  readonly mark = async (target: MarkTarget, state?: State): Promise<void> => this.#open().mark(target, state)
  readonly markAllRead = async (): Promise<void> => this.#open().markAllRead()

  follow(belfry: Belfry): () => void {
    const feed = new Feed(belfry)
    this.#feed = feed
    this.#off = feed.subscribe(() => this.#tell())
    if (this.#wanted) feed.open()
    this.#tell()
    return () => {
      this.#off?.()
      feed.close()
      this.#feed = undefined
      this.#tell()
    }
  }

  /** The list is looked at. */
  want(): void {
    this.#wanted = true
    this.#feed?.open()
  }

  #open(): Feed {
    if (this.#feed) return this.#feed
    throw new BelfryError('BELFRY_CLIENT_DISCONNECTED', 'disconnected')
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }
}

const Context = createContext<Store | undefined>(undefined)

/** Gives the hooks below it their client. */
export function BelfryProvider(props: BelfryProviderProps): ReactElement {
  const client = 'client' in props ? props.client : undefined
  const url = 'client' in props ? undefined : props.url
  const user = 'client' in props ? undefined : props.user
  // A store for each client: what the hooks show never outlives the client, not even for one render.
  // biome-ignore lint/correctness/useExhaustiveDependencies: they name the client
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

/** The inbox, live, with its actions. Loads the first page by itself. Throws outside of a `BelfryProvider`. */
export function useNotifications(): Notifications {
  const store = useStore()
  const snapshot = useSyncExternalStore(store.subscribe, store.snapshot, () => EMPTY_FEED)
  useEffect(() => store.want(), [store])
  const { loadMore, mark, markAllRead } = store
  return { ...snapshot, loadMore, mark, markAllRead }
}

/** How many are unread; renders only when that changes. Throws outside of a `BelfryProvider`. */
export function useUnreadCount(): number {
  const store = useStore()
  return useSyncExternalStore(store.subscribe, store.unread, () => 0)
}

function useStore(): Store {
  const store = useContext(Context)
  if (!store) throw new Error('there is no BelfryProvider above this component')
  return store
}
