#!lua flags=allow-oom
-- Keeps a registry that is in use, and takes dead nodes out of it.
-- KEYS[1] registry
-- KEYS[2] counters
-- ARGV[1] node
-- Returns 1, or 0 when the node is not registered (any more)
for _, node in ipairs(redis.call('HKEYS', KEYS[1])) do
  if tonumber(redis.call('HGET', KEYS[2], node) or 0) < 0 then redis.call('HDEL', KEYS[1], node) end
end
redis.call('PEXPIRE', KEYS[1], REGISTRY_TTL_MS)
return redis.call('HEXISTS', KEYS[1], ARGV[1])
