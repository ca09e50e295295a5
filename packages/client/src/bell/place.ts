/** The distance to the anchor and to the edges of the window, px. */
const GAP = 8

export type Placement = 'start' | 'end' | 'auto'

/**
 * Places a popup below its anchor, or above if there is more room. `end` aligns their inline ends, `start` their inline starts; `auto` is `end`
 * where that fits. The popup never leaves the window. Sets the properties `--_x`, `--_top`, `--_bottom` and `--_height`.
 */
export function place(popup: HTMLElement, anchor: HTMLElement, placement: Placement, minHeight: number): void {
  const { innerWidth, innerHeight } = window
  const { left, right, top, bottom } = anchor.getBoundingClientRect()
  const width = Math.min(popup.offsetWidth, innerWidth - 2 * GAP)
  const isRightToLeft = getComputedStyle(anchor).direction === 'rtl'
  const aligned = (end: boolean): number => (end === isRightToLeft ? left : right - width)
  const fits = (x: number): boolean => x >= GAP && x + width <= innerWidth - GAP
  const x = aligned(placement === 'end' || (placement !== 'start' && fits(aligned(true))))
  const below = innerHeight - bottom - 2 * GAP
  const up = below < minHeight && top > below
  const set = (name: string, value: string): void => popup.style.setProperty(`--_${name}`, value)
  set('x', `${Math.max(GAP, Math.min(x, innerWidth - width - GAP))}px`)
  set('top', up ? 'auto' : `${bottom + GAP}px`)
  set('bottom', up ? `${innerHeight - top + GAP}px` : 'auto')
  set('height', `${Math.max(200, Math.min(640, up ? top - 2 * GAP : below))}px`)
}
