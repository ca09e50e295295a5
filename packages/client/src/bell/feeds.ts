import { Feed } from '../feed.ts'
import { EMPTY_FEED, type FeedSnapshot } from '../feed-snapshot.ts'
import type { InboxItem } from '../inbox.ts'
import { loadPages } from '../inbox-pages.ts'
import type { Belfry } from '../index.ts'
import { type BellTab, type TabFilter, tabFilters } from './tab-filters.ts'

/** The tabs of a panel, each with its feed. Only the feed of the first tab, the whole inbox, exists before the panel is shown. */
export class Feeds {
  readonly #changed: () => void
  #belfry: Belfry | undefined
  #tabs: readonly BellTab[] = []
  #feeds: Feed[] = []
  filters: readonly TabFilter[] = tabFilters([])
  selected = 0

  /** @param changed called after every change of a feed */
  constructor(changed: () => void) {
    this.#changed = changed
  }

  get tabs(): readonly BellTab[] {
    return this.#tabs
  }

  /** Set while the first tab is selected. Its feed, which has the live notifications, stays; `open()` makes the others. */
  set tabs(tabs: readonly BellTab[]) {
    this.#tabs = tabs
    this.filters = tabFilters(tabs)
    for (const feed of this.#feeds.splice(1)) feed.close()
  }

  /** The feed of the selected tab. */
  get current(): Feed | undefined {
    return this.at(this.selected)
  }

  /** The state of the selected tab. */
  get snapshot(): FeedSnapshot {
    return this.current?.snapshot ?? EMPTY_FEED
  }

  /** The loaded notifications of all tabs but the archive. */
  get items(): readonly InboxItem[] {
    return this.at(0)?.snapshot.items ?? []
  }

  /** Returns the feed of a tab; undefined before the panel was shown. */
  at(tab: number): Feed | undefined {
    return this.#feeds[tab]
  }

  /** Requests the number of notifications of a tab. Rejects as `Inbox.load()` does. */
  async countOf(filter: TabFilter): Promise<number | undefined> {
    return this.#belfry && (await loadPages(this.#belfry, filter, undefined, 1)).count
  }

  /** Follows a client. */
  follow(belfry: Belfry): void {
    this.#belfry = belfry
    this.#add(belfry)
  }

  /** Loads the selected tab first, then the others, for their counts. */
  open(): void {
    if (!this.#belfry) return
    while (this.#feeds.length < this.filters.length) this.#add(this.#belfry)
    for (const feed of [this.current, ...this.#feeds]) feed?.open()
  }

  /** Stops following the client, and selects the first tab. */
  stop(): void {
    for (const feed of this.#feeds) feed.close()
    this.#belfry = undefined
    this.#feeds = []
    this.selected = 0
  }

  #add(belfry: Belfry): void {
    const feed = new Feed(belfry, this.filters[this.#feeds.length])
    feed.subscribe(this.#changed)
    this.#feeds.push(feed)
  }
}
