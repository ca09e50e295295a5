#!lua flags=no-writes
-- Finds the topics of this bucket that a user is a member of.
-- @arg user
-- @arg topics
-- Returns {topic, ...}
local reply = {}
for _, name in ipairs(topics) do
  if call('SISMEMBER', stem .. 'tm:' .. name, user) == 1 then reply[#reply + 1] = name end
end
return reply
