#!lua
-- Adds names to the audience of a broadcast to everyone, as long as the collection is leased to the caller.
-- @arg collector
-- @arg broadcast
-- @arg is_complete  '1': there are no further names
-- @arg names
-- Returns 1; 0 if the collection is not leased to the caller
local state = load(broadcast)
if not state or state.collector ~= collector then return 0 end
each_slice(names, function(slice) call('SADD', pending_of(broadcast), unpack(slice)) end)
if is_complete == '0' then
  change(state, 'leasedUntil', int(now + BATCH_LEASE_MS))
else
  local count = call('SCARD', pending_of(broadcast))
  change(state, 'leasedUntil', '0', 'collector', '', 'members', int(count))
  if count == 0 then finish(state) end
end
save()
return 1
