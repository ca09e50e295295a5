import { errors, isOfStore } from '../../errors.ts'
import type { AudienceSession } from './embedded-members.ts'
import type { Session } from './session.ts'
import type { SessionKeeper } from './session-keeper.ts'

/** Returns the database of a session, as the audiences use it. Once the session has ended, its calls reject. */
export function audienceSession(keeper: SessionKeeper, session: Session): AudienceSession {
  const call = async <Result>(make: () => Promise<Result>): Promise<Result> => {
    if (keeper.session !== session) throw keeper.refusal()
    try {
      return await make()
    } catch (cause) {
      throw isOfStore(cause) ? cause : new errors.StoreUnavailable({ cause })
    }
  }
  return {
    range: ([from, to], limit) => call(() => session.database.range(from, to, limit)),
    write: (operations) => call(() => session.journal.add(operations).done)
  }
}
