#!lua
-- Writes the fields of memberships. See prelude-topic.lua.
-- @arg items  part, user, version in turn
-- Returns 1
for i = 1, #items, 3 do
  local hash, field, version = stem .. 'tu:' .. items[i], topic .. '\0' .. items[i + 1], tonumber(items[i + 2])
  if tonumber(call('HGET', hash, field) or 0) < version then call('HSET', hash, field, version) end
end
return 1
