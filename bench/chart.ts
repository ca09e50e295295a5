import { amount, type Entry } from './report.ts'

const WIDTH = 760
const LABELS = 250
const ROW = 26
const TOP = 46
const VALUES = 110

/** Draws a measure's figures as bars, in an SVG that is readable on light and dark pages. */
export function chart({ title, unit, figures }: Entry): string {
  const most = Math.max(...figures.map(({ value }) => value))
  const height = TOP + figures.length * ROW + 12
  const bars = figures.map(({ label, value }, index) => {
    const y = TOP + index * ROW
    const width = Math.max(1, (value / most) * (WIDTH - LABELS - VALUES))
    const fill = label.startsWith('Belfry') ? '#2f6fde' : '#9aa5b1'
    return [
      `  <text x="${LABELS - 10}" y="${y + 14}" text-anchor="end">${escaped(label)}</text>`,
      `  <rect x="${LABELS}" y="${y}" width="${width.toFixed(1)}" height="18" rx="2" fill="${fill}"/>`,
      `  <text x="${(LABELS + width + 8).toFixed(1)}" y="${y + 14}">${amount(value)} ${escaped(unit)}</text>`
    ].join('\n')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}" font-family="system-ui, sans-serif" font-size="13">
  <rect width="${WIDTH}" height="${height}" rx="6" fill="#ffffff"/>
  <text x="16" y="28" font-weight="600" font-size="14">${escaped(title)}</text>
${bars.join('\n')}
</svg>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
