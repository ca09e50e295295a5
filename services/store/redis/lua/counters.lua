#!lua flags=no-writes
-- Reads the node's counters in some buckets.
-- @key COUNTERS
-- @arg node
-- @arg further  keys of the counters of further buckets; none in a Cluster
-- Returns {counter, ...}; 0 for a missing one
local reply = { tonumber(redis.call('HGET', COUNTERS, node) or 0) }
for i, counters in ipairs(further) do reply[i + 1] = tonumber(redis.call('HGET', counters, node) or 0) end
return reply
