/**
 * Returns the tag as `Intl` takes it. Many templates print the locale of the operating system: `en_US` is read as `en-US`, `zh_CN.UTF-8` as
 * `zh-CN`. Subtags at the end that are not valid are left off; undefined if nothing is left.
 */
export function canonicalLanguage(tag: string): string | undefined {
  const subtags = tag
    .trim()
    .replace(/[.@].*$/, '')
    .split(/[_-]/)
  for (let length = subtags.length; length > 0; length--) {
    try {
      return Intl.getCanonicalLocales(subtags.slice(0, length).join('-'))[0]
    } catch {
      // RangeError: a shorter tag may be valid.
    }
  }
  return undefined
}
