import type { Redis } from 'ioredis'
import type { Bus } from '../../bus/bus.ts'
import { redirectionOf } from './redirection.ts'
import { bytes, list, type Reply, text } from './reply.ts'
import { type Args, arrange, commandOf, type ScriptName, scriptOf, type Value } from './script-table.ts'
import type { ScriptTexts } from './script-texts.ts'
import { slices } from './slices.ts'

/** Most keys of one call that covers many buckets. */
const KEYS_PER_CALL = 64
/** Most calls in progress where each bucket needs a call of its own. */
export const CALLS_AT_ONCE = 16

type Command = (...args: (Value | Value[])[]) => Promise<unknown>

/** Function that sends messages for nodes; undefined if the scripts send them themselves. */
export type Publish = Bus['publish']

/** Sends the messages in a reply, if the scripts leave that to the node, and returns the reply without them. */
export function sendMessagesOf(reply: Reply, publish: Publish): Reply {
  if (publish === undefined) return reply
  const [own, messages] = list(reply)
  const parts = list(messages)
  if (parts.length > 0) {
    publish(parts.flatMap((part, i) => (i % 2 === 0 ? [{ node: text(part), message: bytes(parts[i + 1]) }] : [])))
  }
  return own as Reply
}

/** Defines the scripts as commands of a client, and calls them. The client sends `EVALSHA`, and the text where the server lacks it. */
export class Scripts {
  readonly #client: Redis
  readonly #oneSlotPerCall: boolean
  readonly #publish: Publish
  readonly #commandByScript = new Map<ScriptName, Command>()

  /**
   * @param oneSlotPerCall true in a Cluster, whose servers refuse a script with keys of several slots
   * @param publish sends the messages of scripts that are assembled for sending `by-node`
   */
  constructor(client: Redis, texts: ScriptTexts, oneSlotPerCall: boolean, publish: Publish) {
    this.#client = client
    this.#oneSlotPerCall = oneSlotPerCall
    this.#publish = publish
    for (const [name, lua] of texts) {
      const command = commandOf(name)
      client.defineCommand(command, { numberOfKeys: scriptOf(name).keys.length, lua })
      this.#commandByScript.set(name, (client as unknown as Record<string, Command>)[`${command}Buffer`] as Command)
    }
  }

  /** Runs a script as one atomic step. Rejects with the client's error. */
  run<Name extends ScriptName>(name: Name, keys: readonly string[], args: Args<Name>): Promise<Reply> {
    const command = this.#commandByScript.get(name) as Command
    // The client flattens its arguments. As a list, those of a batch are copied once.
    const reply = command.call(this.#client, ...keys, arrange(name, args)) as Promise<Reply>
    return this.#publish === undefined ? reply : reply.then((received) => sendMessagesOf(received, this.#publish))
  }

  /**
   * Runs a script over keys of many buckets of this server, a few at a time, so that a publish waits for few of them.
   *
   * @param refused items in place of the reply for a bucket of a Cluster that the server refuses, because its slot moves
   */
  async over<Name extends 'counters' | 'due' | 'renew-presence', Item = never>(
    name: Name,
    keys: readonly string[],
    args: Omit<Args<Name>, 'further'>,
    refused: Item[]
  ): Promise<(Reply | Item)[]> {
    const run = (first: string, further: string[]): Promise<(Reply | Item)[]> =>
      this.run(name, [first], { ...args, further } as unknown as Args<Name>).then(list, (error: unknown) => {
        if (redirectionOf(error) === undefined) throw error
        return refused
      })
    const [perCall, atOnce] = this.#oneSlotPerCall ? [1, CALLS_AT_ONCE] : [KEYS_PER_CALL, 1]
    const replies: (Reply | Item)[] = []
    for (const calls of slices(slices(keys, perCall), atOnce)) {
      const parts = await Promise.all(calls.map(([first = '', ...further]) => run(first, further)))
      replies.push(...parts.flat(1))
    }
    return replies
  }
}
