/**
 * The end of a call for a notification in the log: a push to a device, or the fallback, whose `deviceId` is ''.
 *
 * - `waiting`: the call waits for its next attempt, or is under way. `at` is when it was made
 * - `sent`: the receiver took the call
 * - `failed`: the receiver refused the call, or failed until the last attempt
 * - `gone`: the subscription does not exist any more
 * - `dropped`: the call was not needed any more, because somebody looked at the notification before an attempt succeeded
 */
export interface CallReceipt {
  event: 'push' | 'notification.fallback'
  deviceId: string
  status: 'waiting' | 'sent' | 'failed' | 'gone' | 'dropped'
  /** Unix milliseconds. */
  at: number
}
