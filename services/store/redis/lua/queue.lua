#!lua flags=allow-oom
-- How far the log and each device's cursor are.
-- KEYS[1..10] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- Returns {epoch, top, id8 of top, floor, id8 of floor + 1, parked, unread, device, cursor, ...}
local reply = { epoch, top, id8_at(top), floor, id8_at(floor + 1), parked, unread }
for _, part in ipairs(redis.call('HGETALL', CURSORS)) do reply[#reply + 1] = part end
save()
return reply
