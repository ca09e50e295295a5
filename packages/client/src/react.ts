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
import type { Answer, State } from '../../../services/protocol/index.ts'
import { disconnected } from './errors.ts'
import { EMPTY_FEED, Feed, type FeedSnapshot } from './feed.ts'
import { Belfry } from './index.ts'
import type { BelfryOptions, MarkOptions, MarkTarget } from './types.ts'

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

/** Holds the feed between renders. There is no feed on a server, and before the provider has mounted. */
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
  readonly mark = async (target: MarkTarget, state?: State, options?: MarkOptions): Promise<string[]> =>
    this.#open().mark(target, state, options)
  readonly answer = async (id: string, action: string): Promise<Answer> => this.#open().answer(id, action)
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

function useStore(): Store {
  const store = useContext(Context)
  if (!store) throw new Error('there is no BelfryProvider above this component')
  return store
}
