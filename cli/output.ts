import type { Writable } from 'node:stream'
import type { WriteStream } from 'node:tty'
import { styleText } from 'node:util'
import type { GapFrame, RowFrame } from '../services/protocol/index.ts'

type Style = Parameters<typeof styleText>[0]

/** Writes data to `stdout` and messages to `stderr`, in colour only on a terminal without `NO_COLOR`. */
export class Output {
  readonly json: boolean
  readonly #stdout: Writable
  readonly #stderr: Writable

  constructor(json: boolean, stdout: Writable, stderr: Writable) {
    this.json = json
    this.#stdout = stdout
    this.#stderr = stderr
  }

  /** Writes one line of data: `value` as JSON, or `text` for a person. */
  data(value: unknown, text: string): void {
    this.#stdout.write(`${this.json ? JSON.stringify(value) : text}\n`)
  }

  /** Messages go to a terminal, which can be drawn over. */
  get isTerminal(): boolean {
    return (this.#stderr as Partial<WriteStream>).isTTY === true
  }

  /** Draws a line over the one that was drawn last; '' removes it. */
  redraw(text: string): void {
    this.#stderr.write(`\r\u001b[K${printable(text)}`)
  }

  talk(text: string): void {
    this.#stderr.write(`${styleText('dim', printable(text), { stream: this.#stderr })}\n`)
  }

  error(text: string): void {
    this.#stderr.write(`${styleText('red', text, { stream: this.#stderr })}\n`)
  }

  /** Writes a row of the log, or a gap. */
  frame(frame: RowFrame | GapFrame): void {
    this.data(frame, this.#line(frame))
  }

  #line(frame: RowFrame | GapFrame): string {
    switch (frame.type) {
      case 'notification': {
        const { id, timestamp, type, title, ref, data, actions } = frame.notification
        const rest = [ref, data === undefined ? undefined : JSON.stringify(data)].filter((part) => part !== undefined)
        const state = frame.state === undefined ? [] : [this.#style('dim', `(${frame.state})`)]
        const buttons = actions === undefined ? [] : [this.#style('magenta', `[${id}: ${actions.map(({ action }) => action).join(' ')}]`)]
        const answer = frame.answer === undefined ? [] : [this.#style('dim', `(${frame.answer.action} by ${frame.answer.deviceId})`)]
        return [
          this.#style('dim', timeOf(timestamp)),
          this.#style('cyan', type),
          this.#style('bold', title),
          ...rest.map(printable),
          ...buttons,
          ...answer,
          ...state
        ].join('  ')
      }
      case 'state':
        return this.#style('dim', `${frame.state}: ${frame.ids.join(' ')} (${frame.unread} unread)`)
      case 'retract':
        return this.#style('dim', `retracted: ${frame.id} (${frame.reason}; ${frame.unread} unread)`)
      case 'answered':
        return this.#style('dim', `answered: ${frame.id} ${frame.action} by ${frame.deviceId} (${frame.unread} unread)`)
      case 'digest':
        return this.#style('dim', `digest: ${frame.count} notifications lost their worth while they waited: ${frame.ids.join(' ')}`)
      case 'gap':
        return this.#style(
          'yellow',
          `gap: ${frame.reason}, ${frame.count === 0 ? 'an unknown number' : frame.count} missing, ${frame.from} to ${frame.to}`
        )
    }
  }

  #style(style: Style, text: string): string {
    return styleText(style, printable(text), { stream: this.#stdout })
  }
}

/** Replaces control characters: text of a publisher must not control the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ')
}

/** Returns the time in ISO 8601; the number itself if no `Date` can hold it, since `toISOString` throws on those. */
export function timeOf(timestamp: number): string {
  return Number.isFinite(new Date(timestamp).getTime()) ? new Date(timestamp).toISOString() : String(timestamp)
}
