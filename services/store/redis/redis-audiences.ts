import { errors } from '../../errors.ts'
import type { Audiences } from '../audiences.ts'

/** Refuses every call: topics and broadcasts are not in Redis yet. */
export function redisAudiences(): Audiences {
  const refuse = (): Promise<never> => Promise.reject(new errors.StoreUnavailable())
  return {
    changeMembers: refuse,
    members: refuse,
    deleteTopic: refuse,
    topicsOf: refuse,
    start: refuse,
    broadcast: refuse,
    cancel: refuse,
    lease: refuse,
    settle: refuse,
    waiting: () => Promise.resolve([])
  }
}
