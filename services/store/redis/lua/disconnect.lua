#!lua flags=allow-oom
-- Tells the nodes that hold the user, or the one connection, to close it; refuses the user's tokens from before, too, if asked.
-- What is told is kept until the connections have left the registry: a node that lost the message finds it at its next attach. A revocation
-- needs no such note, since an attach with an older token is refused.
-- KEYS[1..10] as in prelude.lua
-- KEYS[11] kicks     hash: connection that was told to close -> reason
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] connection; '' for all
-- ARGV[5] '1' to refuse the tokens issued up to now
-- ARGV[6] the reason
-- Returns how many connections were told
local KICKS = KEYS[11]
if ARGV[5] == '1' then
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

local body = ARGV[5] .. ' ' .. (ARGV[4] == '' and '*' or ARGV[4]) .. ' ' .. #USER .. ' ' .. USER .. ARGV[6]
local told = 0
for i = 1, #registered, 2 do
  local count, list = string.match(registered[i + 1], '^(%d+) (.*)$')
  if ARGV[4] == '' or names(list, ARGV[4]) then
    for _, connection in ipairs(cjson.decode(list)) do
      if ARGV[5] ~= '1' and (ARGV[4] == '' or connection.connectionId == ARGV[4]) then
        redis.call('HSET', KICKS, connection.connectionId, ARGV[6])
        redis.call('PEXPIRE', KICKS, REGISTRY_TTL_MS)
      end
    end
    if tell(registered[i], 'k', body) then told = told + (ARGV[4] == '' and tonumber(count) or 1) end
  end
end
save()
return told
