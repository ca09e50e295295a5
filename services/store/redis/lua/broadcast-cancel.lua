#!lua flags=allow-oom
-- Cancels a broadcast. If batches of it were leased, their recall is next in the queue.
-- @arg broadcast
-- Returns the broadcast as `told`; {} if there is none, or it is no longer kept
local state = load(broadcast)
if not state then return {} end
if state.status == 'cancelled' then return told(state) end
change(state, 'status', 'cancelled', 'finishedAt', int(now), 'isRecalling', '1', 'next', '0', 'leasedUntil', '0', 'collector', '')
if call('EXISTS', sent_of(broadcast)) == 0 then
  finish(state)
else
  change(state, 'endedAt', '0')
  each_kept_key(state, 'PERSIST')
  call('LREM', queue, 0, broadcast)
  call('LPUSH', queue, broadcast)
  call('UNLINK', pending_of(broadcast))
end
save()
return told(state)
