#!lua flags=allow-oom
-- Recalls a notification: removes it from the parked or the scheduled ones, or empties its row and appends an `r` row that tells every
-- device.
-- @arg row_id     id for the `r` row
-- @arg id         id of the notification
-- @arg reason     JSON
-- @arg is_barred  '1': an id that is unknown leaves its key, as that of a notification that was recalled
-- Returns 'retracted' | 'unparked' | 'unscheduled' | 'unknown' | 'folded'
local result = retract(id, reason, row_id)
if is_barred == '1' and result == 'unknown' and not (epoch ~= '' and redis.call('ZSCORE', KEYED, key_of(id))) then
  begin()
  remember(key_of(id), top)
  redis.call('HSET', BODIES, key_of(id), 'r' .. string.sub(id, 13))
  redis.call('PEXPIRE', BODIES, META_TTL_MS, 'NX')
end
save()
return result
