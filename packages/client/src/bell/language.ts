import { canonicalLanguage } from './language-tag.ts'

/**
 * Returns the language of the nearest `lang` attribute that names one, out of shadow trees too; undefined if there is none, for the
 * browser's language.
 */
export function languageOf(element: Element): string | undefined {
  let at: Element | null = element
  while (at !== null) {
    const language = canonicalLanguage(at.getAttribute('lang') ?? '')
    if (language !== undefined) return language
    const root: Node = at.getRootNode()
    at = at.parentElement ?? (root instanceof ShadowRoot ? root.host : null)
  }
  return undefined
}
