#!lua flags=allow-oom
-- Removes the fields of memberships that have a lower version. See prelude-topic.lua.
-- @arg version
-- @arg items    part, user in turn
-- Returns 1
for i = 1, #items, 2 do
  local hash, field = stem .. 'tu:' .. items[i], topic .. '\0' .. items[i + 1]
  local own = tonumber(call('HGET', hash, field) or math.huge)
  if own < tonumber(version) then call('HDEL', hash, field) end
end
return 1
