#!lua flags=allow-oom
-- Tells nodes to close one connection of a user, or all; revokes the user's tokens if asked.
-- The order to close is kept until the connection has left the registry: a node that lost the message gets the order at its next attach. A
-- revocation needs no such order, because an attach with an older token is refused.
-- @key KICKS  hash: connection that was told to close -> reason
-- @arg connection_id  '' for all
-- @arg revoke         '1' to refuse the tokens issued up to now
-- @arg reason
-- Returns the number of connections that nodes were told to close
if revoke == '1' then
  begin()
  revoked = math.max(wall, revoked)
end
local registered = redis.call('HGETALL', REGISTRY)

local function names(value, connection)
  return string.find(value, '"connectionId":"' .. connection .. '"', 1, true) ~= nil
end

for _, connection in ipairs(redis.call('HKEYS', KICKS)) do
  local open = false
  for i = 2, #registered, 2 do open = open or names(registered[i], connection) end
  if not open then redis.call('HDEL', KICKS, connection) end
end

local head = ' ' .. revoke .. ' ' .. (connection_id == '' and '*' or connection_id) .. ' ' .. #user .. ' ' .. user
local told = 0
for i = 1, #registered, 2 do
  local count, list = string.match(registered[i + 1], '^(%d+) (.*)$')
  if connection_id == '' or names(list, connection_id) then
    for _, connection in ipairs(cjson.decode(list)) do
      if revoke ~= '1' and (connection_id == '' or connection.connectionId == connection_id) then
        redis.call('HSET', KICKS, connection.connectionId, reason)
        redis.call('PEXPIRE', KICKS, REGISTRY_TTL_MS)
      end
    end
    if tell(registered[i], REGISTRY, COUNTERS, 'k', head, reason) then told = told + (connection_id == '' and tonumber(count) or 1) end
  end
end
save()
return told
