#!lua flags=allow-oom
-- Reads the node's counter in a bucket. If it is missing, or the node was found dead, it starts at 1, and stays 1 until something is
-- registered.
-- @key COUNTERS
-- @arg node
-- Returns the counter
local value = tonumber(redis.call('HGET', COUNTERS, node) or 0)
if value > 0 then return value end
redis.call('HSET', COUNTERS, node, 1)
return 1
