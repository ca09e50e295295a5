#!lua flags=allow-oom
-- Ends a batch, and leases the next one. A batch that was settled before changes nothing.
-- @arg collector  as in broadcast-lease.lua
-- @arg broadcast
-- @arg from       number of members before the batch
-- @arg is_recall  '1' for a recall
-- @arg size       number of members in the batch
-- @arg accepted, parked, rejected  outcomes
-- Returns what broadcast-lease.lua returns
local state = load(broadcast)
if state and state.endedAt == '0' and state.next == from and state.isRecalling == is_recall and state.collector == '' and tonumber(size) > 0 then
  local sent = call('LLEN', sent_of(broadcast))
  local next = tonumber(from) + tonumber(size)
  if next == math.min(tonumber(from) + BATCH_MAX, sent) then
    change(state, 'next', int(next), 'leasedUntil', '0')
    if is_recall == '0' then
      call('HINCRBY', hash_of(broadcast), 'accepted', accepted)
      call('HINCRBY', hash_of(broadcast), 'parked', parked)
      call('HINCRBY', hash_of(broadcast), 'rejected', rejected)
    end
    if next == sent and (is_recall == '1' or call('EXISTS', pending_of(broadcast)) == 0) then finish(state) end
  end
end
local reply = lease_head(collector)
save()
return reply
