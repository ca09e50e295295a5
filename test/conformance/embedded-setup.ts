import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import type { EmbeddedOptions } from '../../services/store/embedded/options.ts'
import type { AttachCommand, ConnectionInfo, Store, StoreEvents } from '../../services/store/store.ts'
import type { Setup } from './stage.ts'

/** Creates an empty folder. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'belfry-'))
}

/** The embedded store in a folder of its own, which is removed when the store closes. */
export function embeddedSetup(options: Partial<EmbeddedOptions> = {}): Setup {
  return {
    name: 'the embedded store',
    open: async (settings) => {
      const folder = await temporaryFolder()
      let store = new EmbeddedStore({ folder, settings, ...options })
      return {
        stores: [store],
        close: async () => {
          await store.close()
          await rm(folder, { recursive: true })
        },
        restart: async () => {
          await store.close()
          store = new EmbeddedStore({ folder, settings, ...options })
          return [store]
        }
      }
    }
  }
}

type Step = Exclude<keyof Store, 'open' | 'close' | 'status' | 'availableTo' | 'outbox' | 'audiences' | 'now' | 'differingNodes'>

/** The embedded store, closed and reopened before each step. The node then registers its connections again. */
export function restartingSetup(): Setup {
  return {
    name: 'the embedded store, reopened between every two steps',
    slow: true,
    open: async (settings) => {
      const folder = await temporaryFolder()
      let store = new EmbeddedStore({ folder, settings })
      let opened: { node: string; events: StoreEvents } | undefined
      let last: Promise<unknown> = Promise.resolve()
      const connectionsByUser = new Map<string, ConnectionInfo[]>()
      const reopen = async (): Promise<void> => {
        if (opened === undefined) return
        await store.close()
        store = new EmbeddedStore({ folder, settings })
        await store.open(opened.node, opened.events)
        for (const [user, connections] of connectionsByUser) await store.detach(user, connections)
      }
      const step = async (name: Step, args: unknown[]): Promise<unknown> => {
        await reopen()
        const result = await (Reflect.apply(store[name], store, args) as Promise<unknown>)
        if (name === 'erase') connectionsByUser.delete(args[0] as string)
        if (name === 'detach') connectionsByUser.set(args[0] as string, args[1] as ConnectionInfo[])
        if (name === 'attach' && (result as { status: string }).status === 'attached') {
          const { user, connections } = args[0] as AttachCommand
          connectionsByUser.set(user, connections)
        }
        return result
      }
      const inTurn = (take: () => Promise<unknown>): Promise<unknown> => {
        const result = last.then(take)
        last = result.catch(() => {})
        return result
      }
      const partOf = <Part extends 'outbox' | 'audiences'>(part: Part): Store[Part] =>
        new Proxy(store[part], {
          get: (_target, name) => {
            const call = async (args: unknown[]): Promise<unknown> => {
              await reopen()
              const method = Reflect.get(store[part], name) as (...args: unknown[]) => unknown
              return Reflect.apply(method, store[part], args)
            }
            return (...args: unknown[]) => inTurn(() => call(args))
          }
        })
      const outbox = partOf('outbox')
      const audiences = partOf('audiences')
      const open = async (node: string, events: StoreEvents): Promise<void> => {
        opened = { node, events }
        await store.open(node, events)
      }
      const proxy = new Proxy(store, {
        get: (_target, name: keyof Store) => {
          if (name === 'status') return () => store.status()
          if (name === 'availableTo') return () => store.availableTo()
          if (name === 'close') return () => store.close()
          if (name === 'open') return open
          if (name === 'outbox') return outbox
          if (name === 'audiences') return audiences
          if (name === 'now' || name === 'differingNodes') return () => store[name]()
          return (...args: unknown[]) => inTurn(() => step(name, args))
        }
      })
      return {
        stores: [proxy],
        close: async () => {
          await last
          await store.close()
          await rm(folder, { recursive: true })
        }
      }
    }
  }
}
