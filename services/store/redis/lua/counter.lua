#!lua flags=allow-oom
-- The node's counter in a bucket; started afresh when it is not there, or when the node was found dead. It is 1 until something is registered.
-- KEYS[1] counters
-- ARGV[1] node
-- Returns the counter
local value = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
if value > 0 then return value end
redis.call('HSET', KEYS[1], ARGV[1], 1)
return 1
