#!lua flags=allow-oom
-- Checks that the node is registered for some users of a bucket, keeps their registries from expiring, and removes dead nodes from them.
-- KEYS[1] counters
-- ARGV[1] node
-- ARGV[2..] users; their registries have the tag of the counters
-- Returns {user, ...}: those for whom the node is not registered
local stem = string.sub(KEYS[1], 1, -2)
local missing = {}
for i = 2, #ARGV do
  local registry = stem .. 'r:' .. ARGV[i]
  local found = false
  for _, node in ipairs(redis.call('HKEYS', registry)) do
    if node == ARGV[1] then
      found = true
    elseif tonumber(redis.call('HGET', KEYS[1], node) or 0) < 0 then
      redis.call('HDEL', registry, node)
    end
  end
  if not found then
    missing[#missing + 1] = ARGV[i]
  elseif redis.call('PTTL', registry) < REGISTRY_TTL_MS / 2 then
    redis.call('PEXPIRE', registry, REGISTRY_TTL_MS)
  end
end
return missing
