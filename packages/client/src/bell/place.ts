const GAP = 8
const WIDTH = 384

/** Places the panel below the button with their inline ends aligned, or above if there is more room. The panel never leaves the window. */
export function place(panel: HTMLElement, button: HTMLElement): void {
  const { innerWidth, innerHeight } = window
  const width = Math.min(WIDTH, innerWidth - 2 * GAP)
  const { left, right, top, bottom } = button.getBoundingClientRect()
  const rightToLeft = getComputedStyle(button).direction === 'rtl'
  // Beside a button near the inline start the panel would leave the window: align the inline starts then.
  const wanted = rightToLeft ? left : right - width
  const fits = wanted >= GAP && wanted + width <= innerWidth - GAP
  const start = fits ? wanted : rightToLeft ? right - width : left
  panel.style.left = `${Math.max(GAP, Math.min(start, innerWidth - width - GAP))}px`
  panel.style.setProperty('--_width', `${width}px`)
  const below = innerHeight - bottom - 2 * GAP
  const up = below < 280 && top > below
  panel.style.top = up ? 'auto' : `${bottom + GAP}px`
  panel.style.bottom = up ? `${innerHeight - top + GAP}px` : 'auto'
  panel.style.maxHeight = `${Math.max(200, Math.min(600, up ? top - 2 * GAP : below))}px`
}
