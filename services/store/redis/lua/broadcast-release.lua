#!lua flags=allow-oom
-- Ends the lease of a batch, so that another node goes on at once. A batch that was settled before changes nothing.
-- @arg broadcast
-- @arg from       number of members before the batch
-- @arg is_recall  '1' for a recall
-- Returns nothing
local state = load(broadcast)
if state and state.endedAt == '0' and state.next == from and state.isRecalling == is_recall and state.collector == '' then
  change(state, 'leasedUntil', '0')
  save()
end
