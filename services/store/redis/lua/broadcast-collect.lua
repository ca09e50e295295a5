#!lua
-- Adds names to the audience of a broadcast to everyone, as long as the collection is leased to the caller.
-- @arg collector
-- @arg broadcast
-- @arg erasures     as in the lease: names that were found before a later erasure may be of erased users
-- @arg is_complete  '1': there are no further names
-- @arg names
-- Returns 1; 2 if the names have to be found again; 0 if the collection is not leased to the caller
local state = load(broadcast)
if not state or state.collector ~= collector then return 0 end
if (state.erasures or '0') ~= erasures then
  change(state, 'leasedUntil', int(now + BATCH_LEASE_MS))
  save()
  return 2
end
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
