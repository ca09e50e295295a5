const STEPS: [unit: Intl.RelativeTimeFormatUnit, ms: number][] = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['week', 604_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000]
]

/** Creating a format takes longer than using it. */
const formatByLanguage = new Map<string | undefined, Intl.RelativeTimeFormat>()

/**
 * Returns the age in words; `justNow` for less than a minute and for times in the future; '' for a timestamp that no `Date` can hold.
 *
 * @param language a valid tag; undefined for the browser's language
 */
export function timeAgo(timestamp: number, now: number, language: string | undefined, justNow: string): string {
  if (isoTime(timestamp) === undefined) return ''
  const age = now - timestamp
  for (const [unit, ms] of STEPS) if (age >= ms) return formatOf(language).format(-Math.floor(age / ms), unit)
  return justNow
}

/** Returns the time in ISO 8601; undefined for a timestamp that no `Date` can hold: `toISOString` throws on those. */
export function isoTime(timestamp: number): string | undefined {
  const date = new Date(timestamp)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}

function formatOf(language: string | undefined): Intl.RelativeTimeFormat {
  const format = formatByLanguage.get(language) ?? new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' })
  formatByLanguage.set(language, format)
  return format
}
