#!lua flags=allow-oom
-- Ends the lease of a batch, or of a collection, so that another node goes on at once. A batch that was settled before changes nothing.
-- @arg collector  name of the caller, whose collection ends; '' to end a batch
-- @arg broadcast
-- @arg from       number of members before the batch
-- @arg is_recall  '1' for a recall
-- Returns nothing
local state = load(broadcast)
local is_batch = state and state.endedAt == '0' and state.next == from and state.isRecalling == is_recall
if state and state.collector == collector and (collector ~= '' or is_batch) then
  change(state, 'leasedUntil', '0')
  save()
end
