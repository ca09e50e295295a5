-- What the scripts that take many users in one call begin with: scripts.ts puts `each(keys, argv)` before it, which is the script for
-- one user, whole, and the settings. Not for Cluster: the keys of the users lie anywhere.
--
-- KEYS[1..9] as in prelude.lua, of no user: those of the users are made from the stems
-- ARGV[1] the clock, Unix milliseconds; '' for the server's own
-- ARGV[2] identity for a log that has to be started afresh
-- ARGV[3..] one a user: the lengths in bytes of all fields but the last, each with a space after it, then the fields; the first two
--           are the beginning of the user's keys, and the user
local clock = tonumber(ARGV[1])
if not clock then
  local time = redis.call('TIME')
  clock = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function int(number)
  return string.format('%.0f', number)
end

local function fields_of(item, count)
  local fields, at = {}, 1
  for i = 1, count - 1 do
    local space = string.find(item, ' ', at, true)
    fields[i] = tonumber(string.sub(item, at, space - 1))
    at = space + 1
  end
  for i = 1, count - 1 do
    local to = at + fields[i]
    fields[i] = string.sub(item, at, to - 1)
    at = to
  end
  fields[count] = string.sub(item, at)
  return fields
end

local function keys_of(stem, user)
  return {
    stem .. 'm:' .. user, stem .. 'l:' .. user, stem .. 's:' .. user, stem .. 'i:' .. user, stem .. 'q:' .. user,
    stem .. 'c:' .. user, stem .. 'r:' .. user, stem .. 'due', stem .. 'w'
  }
end

-- What a script answered, on one line.
local function joined(reply)
  if type(reply) ~= 'table' then return int(reply) end
  for i, part in ipairs(reply) do
    if type(part) == 'number' then reply[i] = int(part) end
  end
  return table.concat(reply, ' ')
end

-- Carries out each item on its own: what becomes of one is nothing to the others.
local function carry_out(count, act)
  local replies = {}
  for i = 3, #ARGV do
    local done, reply = pcall(act, fields_of(ARGV[i], count))
    if not done then reply = { 'error', type(reply) == 'table' and reply.err or tostring(reply) } end
    replies[i - 2] = joined(reply)
  end
  return replies
end
