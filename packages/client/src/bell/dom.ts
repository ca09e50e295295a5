import { webLink } from '../links.ts'

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

/** Creates a button of the class, which is its part too unless another one is given. */
export function button(name: string, clicked: (event: Event) => void, attributes: Attributes = {}, ...children: Node[]): HTMLButtonElement {
  const element = h('button', { type: 'button', class: name, part: name, ...attributes }, ...children)
  element.addEventListener('click', clicked)
  return element
}

export function setAttribute(element: Element, name: string, value: string | number | boolean | undefined): void {
  const text = value === true ? '' : String(value)
  if (value === undefined || value === false) element.removeAttribute(name)
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text)
}

/** Sets the text if it differs. Setting the same text would make screen readers repeat it, and lose a selection. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Names a control without text, for screen readers and in a tooltip. */
export function setName(element: Element, name: string): void {
  for (const attribute of ['aria-label', 'title']) setAttribute(element, attribute, name)
}

const SVG = 'http://www.w3.org/2000/svg'

/** Creates a decorative 24 px line icon. */
export function icon(path: string): SVGElement {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('aria-hidden', 'true')
  const line = document.createElementNS(SVG, 'path')
  line.setAttribute('d', path)
  svg.append(line)
  return svg
}

export const MORE_ICON = 'M5 12h.01M12 12h.01M19 12h.01'
export const CLOSE_ICON = 'M6 6l12 12M18 6L6 18'
export const ARCHIVE_ICON = 'M4 7h16M6 7v12h12V7M10 12h4M5 4h14v3H5z'

/** Returns the reference as an http(s) address, resolved against the page; undefined for other schemes, such as `javascript:`. */
export function linkOf(ref: unknown): string | undefined {
  return webLink(ref, document.baseURI)
}

/** Returns the address of a picture that may be loaded: https, or of the page's origin. */
export function pictureOf(ref: unknown): string | undefined {
  const href = linkOf(ref)
  return href?.startsWith('https:') || href?.startsWith(`${location.origin}/`) ? href : undefined
}

/** Returns the element that has the focus in the shadow tree of the given one. */
export function focusedBeside(element: Element): Element | null {
  return (element.getRootNode() as ShadowRoot).activeElement
}
