/** The distance to the anchor and to the edges of the window, px. */
const GAP = 8

export type Placement = 'start' | 'end' | 'auto'

/**
 * Places a popup below its anchor, or above if there is more room. `end` aligns their inline ends, `start` their inline starts; `auto` is `end`
 * where that fits. The popup never leaves the window. Sets the properties `--_x`, `--_top`, `--_bottom` and `--_height`, also below an ancestor with
 * CSS `zoom`.
 *
 * @param minHeight of the popup, in lengths of its own
 */
export function place(popup: HTMLElement, anchor: HTMLElement, placement: Placement, minHeight: number): void {
  const { innerWidth, innerHeight } = window
  const { left, right, top, bottom } = anchor.getBoundingClientRect()
  // Places are measured in the window. The lengths of a style are those of the popup: the browser multiplies them by the `zoom` of its ancestors.
  const { currentCSSZoom: zoom = 1 } = popup as { currentCSSZoom?: number }
  const width = Math.min(popup.offsetWidth * zoom, innerWidth - 2 * GAP)
  const isRightToLeft = getComputedStyle(anchor).direction === 'rtl'
  const aligned = (end: boolean): number => (end === isRightToLeft ? left : right - width)
  const fits = (x: number): boolean => x >= GAP && x + width <= innerWidth - GAP
  const x = aligned(placement === 'end' || (placement !== 'start' && fits(aligned(true))))
  const below = innerHeight - bottom - 2 * GAP
  const up = below < minHeight * zoom && top > below
  const set = (name: string, px?: number): void => popup.style.setProperty(`--_${name}`, px === undefined ? 'auto' : `${px / zoom}px`)
  set('x', Math.max(GAP, Math.min(x, innerWidth - width - GAP)))
  set('top', up ? undefined : bottom + GAP)
  set('bottom', up ? innerHeight - top + GAP : undefined)
  set('height', Math.max(200, Math.min(640 * zoom, up ? top - 2 * GAP : below)))
}
