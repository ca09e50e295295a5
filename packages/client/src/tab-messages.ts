import type { Calls } from './calls.ts'
import type { Connection } from './connection.ts'
import type { Delivery } from './delivery.ts'
import type { TabMessage, Tabs } from './tabs.ts'
import type { ConnectionState, TerminalContext } from './types.ts'

/** The parts of a client that messages of other tabs concern. */
interface Receiver {
  tabs: Tabs | undefined
  state: ConnectionState
  delivery: Delivery
  calls: Calls
  connection: Connection
  setState(state: ConnectionState): void
  sendStatus(): void
  terminate(ctx: TerminalContext): void
}

/** Takes a message of another tab. A tab that leads ignores what another tab sends as the leader. */
export function receiveFromTab(message: TabMessage, receiver: Receiver): void {
  const { tabs, delivery } = receiver
  const isLeader = tabs?.isLeader
  switch (message.type) {
    case 'toasted':
      return delivery.receiveFromTab(message)
    case 'terminal':
      // If the browser refuses locks, each tab leads with a connection of its own.
      if (!isLeader || receiver.state !== 'connected') receiver.terminate(message.ctx)
      return
    case 'here':
      receiver.sendStatus()
      if (isLeader && message.wake) receiver.connection.wake()
      return
    case 'call':
      if (isLeader) receiver.calls.callFor(message.from, message.frame, (answer) => tabs?.post(answer))
      return
  }
  if (isLeader) return
  switch (message.type) {
    case 'status':
      delivery.expiries.sync(message.serverTime)
      if (message.state === 'connected') delivery.count(message)
      receiver.setState(message.state)
      // The leader cannot send the missed rows again. The service can, to the tab that leads.
      if (delivery.missed(message.last)) tabs?.takeOver()
      return
    case 'answer':
      if (message.to === tabs?.id) receiver.calls.answer(message.frame)
      return
    default:
      delivery.receiveFromTab(message)
  }
}
