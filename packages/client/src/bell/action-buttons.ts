import type { Action, Answer } from '../../../../services/protocol/index.ts'
import type { InboxItem } from '../inbox.ts'
import { button, h, setAttribute, setText } from './dom.ts'
import type { BellMessages } from './messages.ts'

export interface ActionsHost {
  messages(): BellMessages
  /** Returns the name of this device. */
  deviceId(): string | undefined
  /** The user chose an action. */
  answered(item: InboxItem, action: Action): void
}

/** The actions of one notification as buttons, and its answer when there is one. */
export class ActionButtons {
  readonly element = h('div', { class: 'actions', part: 'item-actions', hidden: true })
  readonly #host: ActionsHost
  readonly #answer = h('span', { class: 'answer', part: 'item-answer' })
  #item: InboxItem | undefined
  buttons: HTMLButtonElement[] = []

  constructor(host: ActionsHost) {
    this.#host = host
    this.element.append(this.#answer)
  }

  update(item: InboxItem): void {
    const { id, actions = [], answer, answering } = item
    // A toast whose notification is replaced has the actions of the new one.
    if (answer || id !== this.#item?.id) this.#clear()
    this.#item = item
    if (!answer && this.buttons.length === 0) this.buttons = actions.map((action) => this.#button(action))
    this.element.append(...this.buttons.filter((button) => !button.isConnected || button.parentElement !== this.element))
    for (const [index, button] of this.buttons.entries()) {
      // A disabled button would lose the focus.
      setAttribute(button, 'aria-disabled', answering === undefined ? undefined : 'true')
      setAttribute(button, 'aria-busy', actions[index]?.action === answering ? 'true' : undefined)
    }
    setText(this.#answer, answer ? answerText(item, answer, this.#host) : '')
    this.element.hidden = !answer && this.buttons.length === 0
  }

  #clear(): void {
    for (const button of this.buttons) button.remove()
    this.buttons = []
  }

  #button(action: Action): HTMLButtonElement {
    const answer = (): void => {
      if (this.#item && this.#item.answering === undefined) this.#host.answered(this.#item, action)
    }
    return button('choice', answer, { part: 'item-action' }, new Text(action.title))
  }
}

/** Returns the answer in words: the title of the action, and the device if it is another one. */
export function answerText({ actions = [] }: InboxItem, answer: Answer, host: Pick<ActionsHost, 'messages' | 'deviceId'>): string {
  const { answered, answeredElsewhere, answeredByLink } = host.messages()
  const title = actions.find(({ action }) => action === answer.action)?.title ?? answer.action
  const { deviceId } = answer
  if (deviceId === 'link') return answeredByLink(title)
  return deviceId === host.deviceId() ? answered(title) : answeredElsewhere(title, deviceId)
}
