#!lua flags=allow-oom
-- Compares the registration and the log of some users of a bucket with what the node knows. Keeps their registries from expiring, and removes dead
-- nodes from them.
-- @key COUNTERS
-- @arg node
-- @arg users  {user, registration of the node, newest row that the node knows, ...}; the row as '<epoch> <offset> <tag>'; '' for what is not to be
--             compared. Their keys have the hash tag of the counters
-- Returns {{user, ...}, {user, newest row, ...}}: those whose registration differs, or who have a connection on the node that was told to close; and those
-- whose newest row differs
local stem = string.sub(COUNTERS, 1, -1 - #COUNTERS_KIND)

local function is_told_to_close(user, registration)
  for _, id in ipairs(redis.call('HKEYS', stem .. KICKS_KIND .. user)) do
    if string.find(registration, '"connectionId":"' .. id .. '"', 1, true) then return true end
  end
  return false
end

local unregistered, behind = {}, {}
for i = 1, #users, 3 do
  local user, registration, newest = users[i], users[i + 1], users[i + 2]
  local registry = stem .. REGISTRY_KIND .. user
  local registered, found = redis.call('HGETALL', registry), ''
  for j = 1, #registered, 2 do
    if registered[j] == node then
      found = registered[j + 1]
    elseif tonumber(redis.call('HGET', COUNTERS, registered[j]) or 0) < 0 then
      redis.call('HDEL', registry, registered[j])
    end
  end
  if registration ~= '' and (found ~= registration or is_told_to_close(user, registration)) then
    unregistered[#unregistered + 1] = user
  elseif redis.call('PTTL', registry) < REGISTRY_TTL_MS / 2 then
    redis.call('PEXPIRE', registry, REGISTRY_TTL_MS)
  end
  local meta = newest == '' and {} or redis.call('HMGET', stem .. META_KIND .. user, 'e', 't', 'g')
  local top = meta[2] or '0'
  local row = (meta[1] or '') .. ' ' .. top .. ' ' .. (top ~= '0' and meta[3] or '')
  if newest ~= '' and row ~= newest then
    behind[#behind + 1] = user
    behind[#behind + 1] = row
  end
end
return { unregistered, behind }
