import type { CallReceipt } from '../call-receipt.ts'
import type { PushSubscription } from '../outbox.ts'
import type { Call, Check } from '../outbox-state.ts'
import type { Unless } from '../reach-rule.ts'

/** Encodes a check as JSON of its fields but the offset, in the order of `decodeCheck`. */
export function encodeCheck({ kind, at, unless, id }: Check): Buffer {
  return Buffer.from(JSON.stringify([kind, at, unless, id]))
}

export function decodeCheck(offset: number, value: Buffer): Check {
  const [kind, at, unless, id] = JSON.parse(value.toString()) as [Check['kind'], number, Unless, string]
  return { kind, at, unless, id, offset }
}

/** Encodes a call as JSON of its fields but the number, in the order of `decodeCall`. */
export function encodeCall({ epoch, lane, event, id, offset, deviceId, unless, data, attempts, madeAt, at }: Call): Buffer {
  return Buffer.from(JSON.stringify([at, attempts, madeAt, epoch, lane, event, id, offset, deviceId, unless ?? '', data]))
}

export function decodeCall(no: number, value: Buffer): Call {
  const [at, attempts, madeAt, epoch, lane, event, id, offset, deviceId, unless, data] = JSON.parse(value.toString()) as [
    number,
    number,
    number,
    string,
    string,
    Call['event'],
    string,
    number,
    string,
    Unless | '',
    string
  ]
  return { no, epoch, lane, event, id, offset, deviceId, unless: unless === '' ? undefined : unless, data, attempts, madeAt, at }
}

/** Encodes the receipts of one notification as JSON of their fields, in the order of `decodeReceipts`. */
export function encodeReceipts(receipts: CallReceipt[]): Buffer {
  return Buffer.from(JSON.stringify(receipts.map(({ event, deviceId, status, at }) => [event, deviceId, status, at])))
}

export function decodeReceipts(value: Buffer): CallReceipt[] {
  const list = JSON.parse(value.toString()) as [CallReceipt['event'], string, CallReceipt['status'], number][]
  return list.map(([event, deviceId, status, at]) => ({ event, deviceId, status, at }))
}

/** Encodes a subscription as JSON of its fields, in the order of `decodeSubscription`. */
export function encodeSubscription({ deviceId, endpoint, p256dh, auth, expirationTime, lane }: PushSubscription): Buffer {
  return Buffer.from(JSON.stringify([deviceId, endpoint, p256dh, auth, expirationTime, lane]))
}

export function decodeSubscription(value: Buffer): PushSubscription {
  const [deviceId, endpoint, p256dh, auth, expirationTime, lane] = JSON.parse(value.toString()) as [
    string,
    string,
    string,
    string,
    number,
    string
  ]
  return { deviceId, endpoint, p256dh, auth, expirationTime, lane }
}
