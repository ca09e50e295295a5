#!lua flags=allow-oom
-- Sets what the registry holds for a node and user; with no connections the node is no longer woken. Counted as an attach is: a node that did
-- not hear of it finds out that one came late.
-- KEYS[1] registry
-- KEYS[2] counters
-- ARGV[1] node
-- ARGV[2] how many connections
-- ARGV[3] JSON of those
-- Returns the node's counter; below zero when the node was found dead
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
  redis.call('PEXPIRE', KEYS[1], REGISTRY_TTL_MS)
end
local counter = redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
if counter ~= 1 then return counter end
return redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
