#!lua flags=allow-oom
-- Sets what the registry holds for a node and user; with no connections the node is no longer woken.
-- KEYS[1] registry
-- ARGV[1] node
-- ARGV[2] how many connections
-- ARGV[3] JSON of those
-- Returns 1
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
  redis.call('PEXPIRE', KEYS[1], REGISTRY_TTL_MS)
end
return 1
