#!lua flags=no-writes
-- Lists the topics that have a field for a user.
-- @arg part  of the bucket's users
-- @arg user
-- Returns {topic, ...}
local reply = {}
local ending = '\0' .. user
for _, field in ipairs(call('HKEYS', stem .. 'tu:' .. part)) do
  local at = #field - #ending
  if string.sub(field, at + 1) == ending then reply[#reply + 1] = string.sub(field, 1, at) end
end
return reply
