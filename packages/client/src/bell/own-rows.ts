import type { InboxItem } from '../inbox.ts'
import { matchesType } from '../patterns.ts'
import { h } from './dom.ts'

/** Fills the element of one notification. Returns false to leave the row to the template, or to the bell. */
export type RenderItem = (item: InboxItem, element: HTMLElement) => unknown

/**
 * Renders the content of a row by the app: by `renderItem`, or by the first `<template slot="item">` in the host whose `data-type` matches. The
 * content is a child of the host, which a slot of the row shows: the styles of the page apply to it.
 *
 * @param old the element of an earlier call for the same row
 * @returns the element, or undefined if the bell renders the row by itself
 */
export function renderOwn(
  host: HTMLElement,
  renderItem: RenderItem | undefined,
  item: InboxItem,
  old: HTMLElement | undefined
): HTMLElement | undefined {
  const templates = [...host.querySelectorAll<HTMLTemplateElement>(':scope > template[slot="item"]')]
  const template = templates.find(({ dataset }) => dataset.type === undefined || matchesType(item.type, dataset.type.split(/[\s,]+/)))
  if (!renderItem && !template) return undefined
  const element = old ?? h('div', { slot: `item-${item.id}` })
  if (renderItem && rendered(renderItem, item, element)) return attach(host, element)
  if (!template) return undefined
  element.replaceChildren(template.content.cloneNode(true))
  for (const field of element.querySelectorAll<HTMLElement>('[data-text]')) field.textContent = textAt(item, field.dataset.text ?? '')
  return attach(host, element)
}

/** Returns false also if the app's function throws: the other rows must appear. The error is reported to the page as an uncaught one. */
function rendered(renderItem: RenderItem, item: InboxItem, element: HTMLElement): boolean {
  try {
    return renderItem(item, element) !== false
  } catch (error) {
    reportError(error)
    return false
  }
}

function attach(host: HTMLElement, element: HTMLElement): HTMLElement {
  if (element.parentNode !== host) host.append(element)
  return element
}

/** Returns the value at a path such as `data.percent` as text; '' if there is none. */
function textAt(item: InboxItem, path: string): string {
  const value = path.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], item)
  return value === undefined || value === null ? '' : String(value)
}
