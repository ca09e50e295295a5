import { button, h, setAttribute, setText } from './dom.ts'

/** The tabs of the panel. The arrow keys, Home and End select another one. */
export class TabList {
  readonly element = h('div', { class: 'tabs', part: 'tabs', role: 'tablist' })
  readonly #select: (index: number) => void

  constructor(select: (index: number) => void) {
    this.#select = select
    this.element.addEventListener('keydown', (event) => this.#key(event))
  }

  /** @param tabs the label of each tab, and the count of its notifications if that is known */
  render(tabs: readonly { label: string; count: number | undefined }[], selected: number): void {
    const { children } = this.element
    while (children.length > tabs.length) children[tabs.length]?.remove()
    for (const [index, { label, count }] of tabs.entries()) {
      if (!children[index]) this.element.append(this.#tab(index))
      const tab = children[index] as HTMLElement
      const [name, number] = tab.children as unknown as [Element, Element]
      setText(name, label)
      // The space separates label and count in the name of the tab.
      setText(number, count === undefined ? '' : ` ${count}`)
      setAttribute(tab, 'aria-selected', String(index === selected))
      tab.tabIndex = index === selected ? 0 : -1
    }
  }

  #tab(index: number): HTMLElement {
    const attributes = { role: 'tab', id: `tab-${index}`, 'aria-controls': 'scroll' }
    return button('tab', () => this.#select(index), attributes, h('span', {}), h('span', { class: 'count', part: 'tab-count' }))
  }

  #key(event: KeyboardEvent): void {
    const tabs = [...this.element.children] as HTMLElement[]
    const at = tabs.indexOf(event.target as HTMLElement)
    const step = getComputedStyle(this.element).direction === 'rtl' ? -1 : 1
    const moves: Record<string, number> = { ArrowRight: at + step, ArrowLeft: at - step, Home: 0, End: -1 }
    const to = moves[event.key]
    if (to === undefined) return
    event.preventDefault()
    const tab = tabs.at(to % tabs.length)
    tab?.focus()
    tab?.click()
  }
}
