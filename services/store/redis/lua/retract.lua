#!lua flags=allow-oom
-- Recalls a notification: removes it from the parked or the scheduled ones, or empties its row and appends an `r` row that tells every
-- device.
-- @arg row_id        id for the `r` row
-- @arg id            id of the notification
-- @arg reason        JSON
-- @arg broadcast_at  start of the broadcast: an id that is unknown leaves its key, as that of a notification that was recalled, unless the user was
--                    erased since; 0: none
-- @arg only          'scheduled': a notification that is not scheduled stays, and is 'unknown'; '' for any
-- Returns 'retracted' | 'unparked' | 'unscheduled' | 'unknown' | 'folded'
local result = retract(id, reason, row_id, only)
local is_barred = broadcast_at ~= '0' and tonumber(meta[18] or 0) < tonumber(broadcast_at)
if is_barred and result == 'unknown' and not (epoch ~= '' and redis.call('ZSCORE', KEYED, key_of(id))) then
  begin()
  remember(key_of(id), top)
  redis.call('HSET', BODIES, key_of(id), 'r' .. string.sub(id, 13))
  redis.call('PEXPIRE', BODIES, META_TTL_MS, 'NX')
end
save()
return result
