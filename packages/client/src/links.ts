interface ParsedUrl {
  protocol: string
  origin: string
  href: string
}

const { URL } = globalThis as unknown as { URL: new (ref: string, base?: string) => ParsedUrl }

/**
 * Resolves a reference against `base`. Returns an http(s) address; undefined for other schemes, such as `javascript:`, and for a reference that
 * leaves the origin of `base` without saying so: `//host` and `/\host` look like paths.
 */
export function webLink(ref: unknown, base: string): string | undefined {
  const url = typeof ref === 'string' ? parse(ref, base) : undefined
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') return undefined
  return /^\s*https?:/i.test(ref as string) || url.origin === new URL(base).origin ? url.href : undefined
}

function parse(ref: string, base: string): ParsedUrl | undefined {
  try {
    return new URL(ref, base)
  } catch {
    return undefined
  }
}
