import { attempt } from './attempt.ts'

interface ParsedUrl {
  protocol: string
  href: string
}

const { URL } = globalThis as unknown as { URL: new (ref: string, base: string) => ParsedUrl }

/** Resolves a reference against `base`. Returns an http(s) address; undefined for other schemes, such as `javascript:`. */
export function webLink(ref: unknown, base: string): string | undefined {
  const url = typeof ref === 'string' ? attempt(() => new URL(ref, base)) : undefined
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url.href : undefined
}
