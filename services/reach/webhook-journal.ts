import { randomBytes } from 'node:crypto'
import { isFromThisMachine } from '../auth/loopback.ts'
import { newId } from '../ids.ts'
import { makeWebhookSecret, webhookBody, webhookHeaders, webhookKey } from './standard-webhooks.ts'
import { type ReceivedCall, WebhookReceiver } from './webhook-receiver.ts'

/** Calls that are kept. */
const KEPT = 50
/** Characters of a body that are kept, so that a flood of large bodies does not fill the memory. */
const KEPT_BODY = 65_536

/** One call in the journal. */
interface JournalEntry {
  /** Rises from call to call, also over restarts of the process. */
  no: number
  /** Unix milliseconds. */
  at: number
  /** `webhook-id`; '' if the call had none. */
  id: string
  /** 1 for the first call with this id among those that are kept. */
  attempt: number
  /** Status of the answer. */
  status: number
  /** Why the call is not verified; '' if it is. */
  refusal: string
  body: string
}

/**
 * The receiver of the demo: it takes webhooks, verifies them, and keeps the latest in memory for the page. It answers requests of this machine
 * alone, and none of pages of another origin.
 */
export class WebhookJournal {
  readonly secrets: string[]
  #receiver: WebhookReceiver | undefined
  readonly #entries: JournalEntry[] = []
  #no = Date.now()
  #failsNext = false

  private constructor(secrets: string[]) {
    this.secrets = secrets
  }

  /** @param secrets those that sign the webhooks; default: a new one */
  static async start(secrets: string[] = [makeWebhookSecret()]): Promise<WebhookJournal> {
    const journal = new WebhookJournal(secrets)
    const keys = secrets.map((secret) => webhookKey(secret) as Buffer)
    journal.#receiver = await WebhookReceiver.start({ port: 0, keys, answer: (call) => journal.#answer(call) })
    return journal
  }

  /** The address for `WEBHOOK_URL`. */
  get url(): string {
    return this.#receiver?.url ?? ''
  }

  /** Returns the calls with a higher number, oldest first. */
  after(no: number): JournalEntry[] {
    return this.#entries.filter((entry) => entry.no > no)
  }

  /** Answers 500 to the next fallback, as a receiver does that fails. */
  failNextFallback(): void {
    this.#failsNext = true
  }

  /** Sends a call that another secret has signed, and resolves with its `webhook-id`. */
  async forge(user: string): Promise<string> {
    const [id, now] = [`msg_forged${newId()}`, Date.now()]
    const body = webhookBody('user.online', now, { user, at: now })
    await fetch(this.url, { method: 'POST', headers: webhookHeaders([randomBytes(32)], id, body, now), body })
    return id
  }

  close(): void {
    this.#receiver?.close()
  }

  #answer({ request, body, refusal = '' }: ReceivedCall): number {
    if (!isFromThisMachine(request)) return 403
    const fails = refusal === '' && this.#failsNext && typeOf(body) === 'notification.fallback'
    if (fails) this.#failsNext = false
    const status = refusal !== '' ? 401 : fails ? 500 : 204
    const id = String(request.headers['webhook-id'] ?? '')
    const attempt = id === '' ? 1 : this.#entries.filter((entry) => entry.id === id).length + 1
    this.#no += 1
    this.#entries.push({ no: this.#no, at: Date.now(), id, attempt, status, refusal, body: body.slice(0, KEPT_BODY) })
    if (this.#entries.length > KEPT) this.#entries.shift()
    return status
  }
}

/** Returns the event in a body; undefined if the body is no JSON, which its signature does not rule out. */
function typeOf(body: string): unknown {
  try {
    return (JSON.parse(body) as { type?: unknown }).type
  } catch {
    return undefined
  }
}
