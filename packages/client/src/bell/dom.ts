import { attempt } from '../attempt.ts'

type Attributes = Record<string, string | number | boolean | undefined>

/** Creates an element with attributes (true: present; false and undefined: absent) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) setAttribute(element, key, value)
  element.append(...children)
  return element
}

export function setAttribute(element: Element, name: string, value: string | number | boolean | undefined): void {
  if (value === undefined || value === false) element.removeAttribute(name)
  else if (element.getAttribute(name) !== String(value === true ? '' : value))
    element.setAttribute(name, String(value === true ? '' : value))
}

/** Sets the text if it differs. Setting the same text would make screen readers repeat it, and lose a selection. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

const SVG = 'http://www.w3.org/2000/svg'

/** Creates a decorative 24 px line icon. */
export function icon(...paths: string[]): SVGElement {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('aria-hidden', 'true')
  for (const d of paths) {
    const path = document.createElementNS(SVG, 'path')
    path.setAttribute('d', d)
    svg.append(path)
  }
  return svg
}

/** Returns the reference as an http(s) address, resolved against the page; undefined for other schemes, such as `javascript:`. */
export function linkOf(ref: string | undefined): string | undefined {
  const url = ref === undefined ? undefined : attempt(() => new URL(ref, document.baseURI))
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url.href : undefined
}
