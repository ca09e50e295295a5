const SPAN_MS = 20_000
const LIMIT = 10
const TOP = 13
const STEP_MS = 100

/** Arrivals in the second before each moment of the last 20. Draws only while there is something to see. */
export function rateChart(canvas) {
  let arrivals = []
  let drawing = false

  const rateAt = (time) => arrivals.reduce((count, at) => count + (at <= time && at > time - 1000 ? 1 : 0), 0)

  const draw = () => {
    const now = Date.now()
    arrivals = arrivals.filter((at) => at > now - SPAN_MS - 1000)
    const { width, height } = canvas.getBoundingClientRect()
    const scale = devicePixelRatio
    canvas.width = width * scale
    canvas.height = height * scale
    const style = getComputedStyle(canvas)
    const context = canvas.getContext('2d')
    context.scale(scale, scale)
    const x = (time) => width - ((now - time) / SPAN_MS) * width
    const y = (rate) => height - 1 - (rate / TOP) * (height - 2)

    context.strokeStyle = style.getPropertyValue('--limit')
    context.setLineDash([3, 4])
    context.beginPath()
    context.moveTo(0, y(LIMIT))
    context.lineTo(width, y(LIMIT))
    context.stroke()
    context.setLineDash([])
    context.fillStyle = style.getPropertyValue('--muted')
    context.font = `11px ${style.fontFamily}`
    context.fillText('limit 10 / s', 0, y(LIMIT) - 5)

    context.beginPath()
    context.moveTo(0, y(0))
    const first = Math.ceil((now - SPAN_MS) / STEP_MS) * STEP_MS
    for (let time = first; time <= now; time += STEP_MS) context.lineTo(x(time), y(rateAt(time)))
    context.lineTo(width, y(rateAt(now)))
    const accent = style.getPropertyValue('--accent')
    context.strokeStyle = accent
    context.lineWidth = 2
    context.lineJoin = 'round'
    context.stroke()
    context.lineTo(width, y(0))
    context.closePath()
    context.globalAlpha = 0.14
    context.fillStyle = accent
    context.fill()
    if (arrivals.length > 0) requestAnimationFrame(draw)
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
      arrivals.push(Date.now())
      start()
    }
  }
}
