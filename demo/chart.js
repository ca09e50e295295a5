const SECONDS = 20
const LIMIT = 10
const TOP = 12
/** After a pause of so long the seconds are counted from the next arrival on. */
const PAUSE_MS = 1500
const LEAD_MS = 150

/** Arrivals in each of the last 20 seconds. Draws only while there is something to see. */
export function rateChart(canvas) {
  /** Counts by the number of the second, counted from `origin`. */
  let counts = new Map()
  let origin = Date.now()
  let last = 0
  let drawing = false

  const draw = () => {
    const now = (Date.now() - origin) / 1000
    const { width, height } = canvas.getBoundingClientRect()
    canvas.width = width * devicePixelRatio
    canvas.height = height * devicePixelRatio
    const { color, outlineColor, caretColor, fontFamily } = getComputedStyle(canvas)
    const context = canvas.getContext('2d')
    context.scale(devicePixelRatio, devicePixelRatio)
    const y = (count) => height - 1 - (Math.min(count, TOP) / TOP) * (height - 2)
    const step = width / SECONDS

    context.strokeStyle = outlineColor
    for (const level of [0, LIMIT]) {
      context.setLineDash(level === 0 ? [] : [3, 4])
      context.beginPath()
      context.moveTo(0, y(level))
      context.lineTo(width, y(level))
      context.stroke()
    }
    context.fillStyle = caretColor
    context.font = `11px ${fontFamily}`
    context.fillText(`limit ${LIMIT} a second`, 0, y(LIMIT) - 5)

    for (const [second, count] of counts) {
      const end = width - (now - second - 1) * step
      if (end < 0) counts.delete(second)
      const left = Math.max(0, end - step + 2)
      const right = Math.min(width, end - 2)
      context.fillStyle = color
      context.beginPath()
      if (right > left) context.roundRect(left, y(count), right - left, y(0) - y(count), [5, 5, 0, 0])
      context.fill()
    }
    if (counts.size > 0) requestAnimationFrame(draw)
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
    arrived() {
      const now = Date.now()
      if (now - last > PAUSE_MS) {
        // Bars that are there keep their places: whole seconds later, give or take their phase.
        const shift = now - LEAD_MS - origin
        counts = new Map([...counts].map(([second, count]) => [second - shift / 1000, count]))
        origin += shift
      }
      last = now
      const second = Math.floor((now - origin) / 1000)
      counts.set(second, (counts.get(second) ?? 0) + 1)
      start()
    }
  }
}
