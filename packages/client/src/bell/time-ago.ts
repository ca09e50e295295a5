const STEPS: [unit: Intl.RelativeTimeFormatUnit, ms: number][] = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['week', 604_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000]
]

/**
 * How long ago, in the words of `language`; times ahead are now.
 *
 * @param justNow for less than a minute
 */
export function timeAgo(timestamp: number, now: number, language: string | undefined, justNow: string): string {
  const age = now - timestamp
  for (const [unit, ms] of STEPS) {
    if (age >= ms) return new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' }).format(-Math.floor(age / ms), unit)
  }
  return justNow
}
