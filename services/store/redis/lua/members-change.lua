#!lua flags=allow-oom
-- Adds the names of which the caller has written the fields, and removes others. See prelude-topic.lua.
-- @arg added_count  number of names to add
-- @arg names        names to add, their versions, names to remove
-- Returns {added, removed, version of the removal, index of a name that must be added anew, ...}
local count = tonumber(added_count)
local reply = { 0, 0, 0 }
local adding, removing, removal = {}, {}, 2 * count
for i = 1, count do adding[i] = names[i] end
for i = removal + 1, #names do removing[i - removal] = names[i] end
each_slice(adding, function(slice, from)
  local versions, joined = call('HMGET', joining, unpack(slice)), {}
  for i, name in ipairs(slice) do
    if versions[i] and versions[i] == names[count + from + i - 1] then
      joined[#joined + 1] = name
    elseif call('SISMEMBER', members, name) == 0 then
      reply[#reply + 1] = from + i - 1
    end
  end
  if #joined == 0 then return end
  reply[1] = reply[1] + call('SADD', members, unpack(joined))
  call('HDEL', joining, unpack(joined))
end)
if #removing > 0 then reply[3] = call('INCR', version_key) end
each_slice(removing, function(slice)
  reply[2] = reply[2] + call('SREM', members, unpack(slice))
  call('HDEL', joining, unpack(slice))
end)
if call('EXISTS', joining) == 0 then call('SREM', additions, topic) end
return reply
