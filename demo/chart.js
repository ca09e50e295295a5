const SECONDS = 20
/** The height of the chart is this much above its highest line. */
const HEADROOM = 1.4
/** The highest line without a limit. */
const UNLIMITED = 36
/** After a pause of this length the chart counts its seconds from the next arrival. */
const PAUSE_MS = 1500
const LEAD_MS = 150

/** Draws the number of arrivals in each of the last 20 seconds, and stops while there are none. Shows the limit when `setLimit` named it. */
export function rateChart(canvas) {
  /** By the number of the second since `origin`. */
  let countBySecond = new Map()
  let origin = Date.now()
  let last = 0
  let drawing = false
  let limit = { perSecond: 0, text: '' }

  const draw = () => {
    const now = (Date.now() - origin) / 1000
    const { width, height } = canvas.getBoundingClientRect()
    canvas.width = width * devicePixelRatio
    canvas.height = height * devicePixelRatio
    const { color, outlineColor, caretColor, fontFamily } = getComputedStyle(canvas)
    const context = canvas.getContext('2d')
    context.scale(devicePixelRatio, devicePixelRatio)
    const { perSecond, text } = limit
    const top = (perSecond || UNLIMITED) * HEADROOM
    const y = (count) => height - 1 - (Math.min(count, top) / top) * (height - 2)
    const step = width / SECONDS

    context.strokeStyle = outlineColor
    for (const level of new Set([0, perSecond])) {
      context.setLineDash(level === 0 ? [] : [3, 4])
      context.beginPath()
      context.moveTo(0, y(level))
      context.lineTo(width, y(level))
      context.stroke()
    }
    context.fillStyle = caretColor
    context.font = `11px ${fontFamily}`
    if (perSecond > 0) context.fillText(`limit: ${text}`, 0, y(perSecond) - 5)

    for (const [second, count] of countBySecond) {
      const end = width - (now - second - 1) * step
      if (end < 0) countBySecond.delete(second)
      const left = Math.max(0, end - step + 2)
      const right = Math.min(width, end - 2)
      context.fillStyle = color
      context.beginPath()
      if (right > left) context.roundRect(left, y(count), right - left, y(0) - y(count), [5, 5, 0, 0])
      context.fill()
    }
    if (countBySecond.size > 0) requestAnimationFrame(draw)
    else drawing = false
  }

  const start = () => {
    if (drawing) return
    drawing = true
    requestAnimationFrame(draw)
  }
  new ResizeObserver(start).observe(canvas)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', start)
  return {
    setLimit(given) {
      limit = given
      start()
    },
    arrived() {
      const now = Date.now()
      if (now - last > PAUSE_MS) {
        // Bars that are shown keep their positions.
        const shift = now - LEAD_MS - origin
        countBySecond = new Map([...countBySecond].map(([second, count]) => [second - shift / 1000, count]))
        origin += shift
      }
      last = now
      const second = Math.floor((now - origin) / 1000)
      countBySecond.set(second, (countBySecond.get(second) ?? 0) + 1)
      start()
    }
  }
}
