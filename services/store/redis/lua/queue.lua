#!lua flags=allow-oom
-- Reads the ends of the log and the cursor of each device.
-- Returns {epoch, top, id8 of top, floor, id8 of floor + 1, parked, scheduled, unread, unseen, device, cursor, ...}
local scheduled = nearest_at == 0 and 0 or redis.call('ZCARD', SCHEDULED)
local reply = { epoch, top, id8_at(top), floor, id8_at(floor + 1), parked, scheduled, unread, Unread.unseen() }
for _, part in ipairs(redis.call('HGETALL', CURSORS)) do reply[#reply + 1] = part end
save()
return reply
