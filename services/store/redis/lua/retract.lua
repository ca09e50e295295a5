#!lua flags=allow-oom
-- Recalls a notification: removes it from the parked or the scheduled ones, or empties its row and appends an `r` row that tells every
-- device.
-- @arg row_id  id for the `r` row
-- @arg id      id of the notification
-- @arg reason  JSON
-- Returns 'retracted' | 'unparked' | 'unscheduled' | 'unknown' | 'folded'
local result = retract(id, reason, row_id)
save()
return result
