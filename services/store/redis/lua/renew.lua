#!lua flags=allow-oom
-- Checks that the node is registered for some users of a bucket, keeps their registries from expiring, and removes dead nodes from them.
-- @key COUNTERS
-- @arg node
-- @arg users  their registries have the hash tag of the counters
-- Returns {user, ...}: those for whom the node is not registered
local stem = string.sub(COUNTERS, 1, -1 - #COUNTERS_KIND)
local missing = {}
for _, user in ipairs(users) do
  local registry = stem .. REGISTRY_KIND .. user
  local found = false
  for _, registered in ipairs(redis.call('HKEYS', registry)) do
    if registered == node then
      found = true
    elseif tonumber(redis.call('HGET', COUNTERS, registered) or 0) < 0 then
      redis.call('HDEL', registry, registered)
    end
  end
  if not found then
    missing[#missing + 1] = user
  elseif redis.call('PTTL', registry) < REGISTRY_TTL_MS / 2 then
    redis.call('PEXPIRE', registry, REGISTRY_TTL_MS)
  end
end
return missing
