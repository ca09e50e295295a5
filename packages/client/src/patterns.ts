/** Returns true if one of the patterns is the type, or a prefix of the type that ends in `*`. */
export function matchesType(type: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => (pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern))
}
