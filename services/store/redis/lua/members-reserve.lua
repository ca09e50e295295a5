#!lua
-- Begins to add members: takes a version for each name. See prelude-topic.lua.
-- @arg ttl_ms  time after which a caller that did not go on has failed
-- @arg names
-- Returns {version[, index, its other version, ...]}
local version = call('INCR', version_key)
local reply = { version }
each_slice(names, function(slice, from)
  local known = call('HMGET', joining, unpack(slice))
  local fields = {}
  for i, name in ipairs(slice) do
    if known[i] then
      reply[#reply + 1] = from + i - 1
      reply[#reply + 1] = tonumber(known[i])
    else
      fields[#fields + 1] = name
      fields[#fields + 1] = version
    end
  end
  if #fields > 0 then call('HSET', joining, unpack(fields)) end
end)
call('SADD', additions, topic)
for _, key in ipairs({ joining, additions }) do call('PEXPIRE', key, ttl_ms) end
return reply
