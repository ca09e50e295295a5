import type { Notification } from '../protocol/index.ts'
import { topicOf } from './push-topic.ts'

/**
 * Largest payload, bytes. A push service accepts bodies of 4,096 bytes (RFC 8030 §7.2), and the encryption adds 103: a header of 86, a
 * delimiter, and a tag of 16 (RFC 8291 §4).
 */
const MAX_BYTES = 4096 - 103

/** The page that a click opens if the notification's `ref` is no address: the start page of the app. */
const START_PAGE = '/'

/** Code points of a title that is kept even if nothing else is left to cut. */
const SHORT_TITLE = 120

const ELLIPSIS = '…'

interface ShownAction {
  action: string
  title: string
  navigate: string
}

/** The ids of the notification, and what the SDK's service worker does at a click. */
interface PushedIds {
  id: string
  eventId: string
  answerLink?: string
  /**
   * The actions whose `url` is the address of the notification. Each action of Declarative Web Push has an address, so `navigate` does not tell
   * them from actions without a `url`.
   */
  opens?: string[]
  /** A hash of the `collapseKey`: the worker closes an older notification with the same one, since their tags differ. */
  topic?: string
}

/** A push, as Declarative Web Push defines it, and what the SDK needs. Browsers with Declarative Web Push show it without code of the app. */
export interface PushPayload {
  web_push: 8030
  notification: {
    title: string
    body?: string
    navigate: string
    /** The id: a repeated push replaces what it showed before. */
    tag: string
    silent?: true
    actions?: ShownAction[]
  }
  /** Number of unread notifications. */
  app_badge: number
  belfry: PushedIds
}

interface PayloadContext {
  eventId: string
  unread: number
  /** The link that answers the notification; undefined if it offers no actions. */
  answerLink: string | undefined
}

/**
 * Returns the payload of a push as JSON of at most 3,993 bytes. What does not fit is cut in this order: the body, the addresses of the actions, the
 * address of the notification, the end of the title. The ids, the answer link and the actions always stay.
 */
export function pushPayload(notification: Notification, context: PayloadContext): string {
  const payload = wholePayload(notification, context)
  const { notification: shown } = payload
  const size = (): number => Buffer.byteLength(JSON.stringify(payload))

  const { body } = shown
  if (size() > MAX_BYTES && body !== undefined) {
    delete shown.body
    const kept = longestPrefix(body, MAX_BYTES - size() - '"body":"",'.length)
    if (kept !== '') shown.body = kept
  }
  if (size() > MAX_BYTES) for (const action of shown.actions ?? []) action.navigate = shown.navigate
  if (size() > MAX_BYTES) {
    shown.navigate = START_PAGE
    for (const action of shown.actions ?? []) action.navigate = START_PAGE
  }
  if (size() > MAX_BYTES) shown.title = `${[...shown.title].slice(0, SHORT_TITLE).join('')}${ELLIPSIS}`
  return JSON.stringify(payload)
}

function wholePayload(notification: Notification, { eventId, unread, answerLink }: PayloadContext): PushPayload {
  const { id, title, ref, urgency, actions, collapseKey, data } = notification
  const navigate = addressIn(ref) ?? START_PAGE
  const opens = actions?.filter(({ url }) => addressIn(url) === navigate).map(({ action }) => action) ?? []
  const isSilent = urgency === 'low' || urgency === 'very-low'
  return {
    web_push: 8030,
    notification: {
      title,
      ...(typeof data?.body === 'string' && data.body !== '' && { body: data.body }),
      navigate,
      tag: id,
      ...(isSilent && { silent: true as const }),
      ...(actions !== undefined && {
        actions: actions.map(({ action, title, url }) => ({ action, title, navigate: addressIn(url) ?? navigate }))
      })
    },
    app_badge: unread,
    belfry: {
      id,
      eventId,
      ...(answerLink !== undefined && { answerLink }),
      ...(opens.length > 0 && { opens }),
      ...(collapseKey !== undefined && { topic: topicOf(collapseKey) })
    }
  }
}

/** Returns the reference if it is an http(s) address or a path of the app: a browser must not be led to any other scheme. */
function addressIn(ref: string | undefined): string | undefined {
  if (ref === undefined || /[\s\\]/.test(ref)) return undefined
  if (/^\/(?!\/)/.test(ref)) return ref
  return /^https?:\/\//i.test(ref) && URL.canParse(ref) ? ref : undefined
}

/** Returns the longest beginning of a text that has at most `maxBytes` as the content of a JSON string, with an ellipsis; '' if none fits. */
function longestPrefix(text: string, maxBytes: number): string {
  const points = [...text]
  const prefix = (length: number): string => `${points.slice(0, length).join('')}${ELLIPSIS}`
  const fits = (length: number): boolean => Buffer.byteLength(JSON.stringify(prefix(length))) - '""'.length <= maxBytes
  let [low, high] = [0, points.length]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (fits(middle)) low = middle
    else high = middle - 1
  }
  return low === 0 ? '' : prefix(low)
}
