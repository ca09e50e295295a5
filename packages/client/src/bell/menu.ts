import { button, h, setText } from './dom.ts'
import { place } from './place.ts'

/** A command of a menu, and the name of its part. */
export interface MenuItem {
  label: string
  run(): void
}

/** One menu for all rows: it opens beside the button that was used. By keyboard: arrow keys, Home and End; Escape and Tab close the menu. */
export class Menu {
  readonly element = h('div', { class: 'menu', part: 'menu', role: 'menu', popover: 'manual' })
  #opener: HTMLElement | undefined

  constructor() {
    this.element.addEventListener('keydown', (event) => this.#key(event))
    this.element.addEventListener('focusout', ({ relatedTarget }) => {
      if (relatedTarget !== this.#opener && !this.element.contains(relatedTarget as Node | null)) this.close(false)
    })
  }

  /** Opens the menu, or closes it if the same button opened it. */
  toggle(opener: HTMLElement, items: MenuItem[]): void {
    if (this.#opener === opener) return this.close(true)
    this.close(false)
    this.#opener = opener
    opener.setAttribute('aria-expanded', 'true')
    const choose = ({ run }: MenuItem): void => {
      this.close(true)
      run()
    }
    const controls = items.map((item) => button('choose', () => choose(item), { part: 'menu-item', role: 'menuitem', tabindex: -1 }))
    for (const [index, { label }] of items.entries()) setText(controls[index] as HTMLElement, label)
    this.element.replaceChildren(...controls)
    this.element.setAttribute('aria-label', opener.getAttribute('aria-label') ?? '')
    this.element.classList.add('open')
    this.element.showPopover?.()
    place(this.element, opener, 'end', this.element.offsetHeight)
    controls[0]?.focus()
  }

  /** Closes the menu if its button was removed or hidden. */
  check(): void {
    if (this.#opener?.getClientRects().length === 0) this.close(false)
  }

  close(returnsFocus: boolean): void {
    const opener = this.#opener
    if (!opener) return
    this.#opener = undefined
    opener.setAttribute('aria-expanded', 'false')
    if (returnsFocus) opener.focus()
    this.element.hidePopover?.()
    this.element.classList.remove('open')
  }

  #key(event: KeyboardEvent): void {
    const controls = [...this.element.children] as HTMLElement[]
    const at = controls.indexOf(event.target as HTMLElement)
    const moves: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }
    const to = moves[event.key]
    if (event.key === 'Tab') this.close(true)
    if (event.key === 'Escape' || to !== undefined) {
      event.preventDefault()
      event.stopPropagation()
    }
    if (event.key === 'Escape') this.close(true)
    else if (to !== undefined) controls.at(to % controls.length)?.focus()
  }
}
