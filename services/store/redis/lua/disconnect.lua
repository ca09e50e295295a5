#!lua flags=allow-oom
-- Tells the nodes that hold the user, or the one connection, to close it; refuses the user's tokens from before, too, if asked.
-- KEYS[1..9] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] connection; '' for all
-- ARGV[5] '1' to refuse the tokens issued up to now
-- ARGV[6] the reason
-- ARGV[7] the member of the connection's JSON that names it
-- Returns how many nodes were told
if ARGV[5] == '1' then
  begin()
  revoked = math.max(wall, revoked)
end
local body = ARGV[5] .. ' ' .. (ARGV[4] == '' and '*' or ARGV[4]) .. ' ' .. #USER .. ' ' .. USER .. ARGV[6]
local registered, told = redis.call('HGETALL', REGISTRY), 0
for i = 1, #registered, 2 do
  local concerned = ARGV[4] == '' or string.find(registered[i + 1], ARGV[7], 1, true)
  if concerned and tell(registered[i], 'k', body) then told = told + 1 end
end
save()
return told
