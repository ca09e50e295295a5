import type { AttachCommand, InboxQuery, PublishOptions, ReadCommand, Start } from '../store.ts'
import { typeBeginnings } from '../type-filter.ts'
import type { OwnArgs } from './script-table.ts'
import { ruleText } from './script-texts.ts'

/** Returns the argument `options` of `publish-full.lua`. */
export function optionsText(options: PublishOptions | undefined): string {
  if (options === undefined) return ''
  const { level = 0, expiresAt = 0, deliverAt = 0, actions = [], collapseKey = '', push, fallback } = options
  const hasRules = push !== undefined || fallback !== undefined
  const hasOthers = hasRules || level !== 0 || expiresAt !== 0 || deliverAt !== 0 || actions.length > 0
  if (collapseKey !== '' && !hasOthers) return `=${collapseKey}`
  const common = `${expiresAt} ${deliverAt} ${actions.join(',') || '.'} ${collapseKey} ${level}`
  if (!hasRules) return common
  const pushText = push === undefined ? '.' : push === false ? '-' : ruleText(push)
  return `*${pushText} ${fallback === undefined ? '.' : ruleText(fallback)} ${common}`
}

/** Returns the arguments of `inbox.lua`. An empty list is not the same as no list: the words for it match nothing. */
export function inboxArgs({ states, types, before, limit, isCounted = false }: InboxQuery): OwnArgs<'inbox'> {
  const beginnings = types === undefined ? [] : typeBeginnings(types).map(String)
  return {
    beforeEpoch: before?.epoch ?? '',
    beforeOffset: before?.offset ?? 0,
    maxItems: limit,
    isCounted: isCounted ? '1' : '0',
    wantedStates: states?.length === 0 ? 'none' : (states ?? []).join(','),
    wantedTypes: types?.length === 0 ? ['\n'] : beginnings
  }
}

/** Returns the arguments with which `attach` only reads: no node, no connections, no device. */
export function readArgs(start: Start, { seen, limit, bytes }: Pick<ReadCommand, 'seen' | 'limit' | 'bytes'>): OwnArgs<'attach'> {
  const position = start.at === 'position' ? start.position : { epoch: '', offset: 0, id8: '' }
  return {
    node: '',
    count: 0,
    connections: '',
    issuedAt: 0,
    device: '',
    start: start.at,
    startEpoch: position.epoch,
    startOffset: position.offset,
    startId8: position.id8,
    seenEpoch: seen?.epoch ?? '',
    seenOffset: seen?.offset ?? 0,
    maxRows: limit,
    maxBytes: bytes ?? '',
    newcomer: '',
    received: ''
  }
}

/** Returns the arguments of `attach` that concern the device and its connection. */
export function attachArgs({ deviceId, issuedAt, newcomer = '', received }: AttachCommand): Partial<OwnArgs<'attach'>> {
  const cursor = received === undefined ? '' : `${received.epoch} ${received.offset} ${received.id8} `
  return { issuedAt, device: deviceId, newcomer, received: cursor }
}
