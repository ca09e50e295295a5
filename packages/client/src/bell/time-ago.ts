const STEPS: [unit: Intl.RelativeTimeFormatUnit, ms: number][] = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['week', 604_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000]
]

interface Formats {
  age: Intl.RelativeTimeFormat
  date: Intl.DateTimeFormat
}

/** Creating a format takes longer than using it. */
const formatsByLanguage = new Map<string | undefined, Formats>()

/**
 * Returns the age in words; `justNow` for less than a minute and for times in the future; '' for a timestamp that no `Date` can hold.
 *
 * @param language a valid tag; undefined for the browser's language
 */
export function timeAgo(timestamp: number, now: number, language: string | undefined, justNow: string): string {
  if (isoTime(timestamp) === undefined) return ''
  const age = now - timestamp
  for (const [unit, ms] of STEPS) if (age >= ms) return formatsOf(language).age.format(-Math.floor(age / ms), unit)
  return justNow
}

/** Returns date and time; '' for a timestamp that no `Date` can hold. */
export function fullDate(timestamp: number, language: string | undefined): string {
  return isoTime(timestamp) === undefined ? '' : formatsOf(language).date.format(timestamp)
}

/** Returns the time in ISO 8601; undefined for a timestamp that no `Date` can hold: `toISOString` throws on those. */
export function isoTime(timestamp: number): string | undefined {
  const date = new Date(timestamp)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}

function formatsOf(language: string | undefined): Formats {
  const formats = formatsByLanguage.get(language) ?? {
    age: new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' }),
    date: new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' })
  }
  formatsByLanguage.set(language, formats)
  return formats
}
