const STEPS: [unit: Intl.RelativeTimeFormatUnit, ms: number][] = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['week', 604_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000]
]

/** Formats by language; to make one takes longer than to use it. */
const formats = new Map<string | undefined, Intl.RelativeTimeFormat>()

/**
 * Returns the age in the words of `language`; for times ahead `justNow`, and '' for a timestamp that no `Date` can hold.
 *
 * @param language a valid tag; undefined for the browser's
 * @param justNow for less than a minute
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
  const format = formats.get(language) ?? new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' })
  formats.set(language, format)
  return format
}
