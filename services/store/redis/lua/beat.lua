#!lua flags=allow-oom
-- A node's heartbeat, and everybody's age.
-- KEYS[1] nodes
-- ARGV[1] node; '' only asks
-- Returns {node, silent for ms, ...}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], now, ARGV[1]) end
local reply = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #reply, 2 do reply[i] = now - tonumber(reply[i]) end
return reply
