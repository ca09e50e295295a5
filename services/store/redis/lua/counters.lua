#!lua flags=no-writes
-- The node's counters in some buckets.
-- KEYS[1] counters
-- ARGV[1] node
-- ARGV[2..] counters of further buckets; not in a Cluster
-- Returns {counter, ...}; 0 for one that is not there
local reply = { tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) }
for i = 2, #ARGV do reply[i] = tonumber(redis.call('HGET', ARGV[i], ARGV[1]) or 0) end
return reply
