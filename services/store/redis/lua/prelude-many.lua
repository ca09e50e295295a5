-- What the scripts that take many users in one call begin with: scripts.ts puts `each(keys, argv)` before it, which is the script for
-- one user, whole, and the settings. Not for Cluster: the keys of the users lie anywhere.
--
-- No KEYS: those of the users are made from the stems.
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

-- What takes the lengths at an item's beginning, by how many there are, and the place behind them.
local function lengths_of(count)
  return '^' .. string.rep('(%d+) ', count) .. '()'
end

local function fields_of(item, count, pattern)
  local fields = { string.match(item, pattern) }
  local at = fields[count]
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

-- Wake-ups of this call by node: those for one node leave together, on the channel of the first.
local bundles = {}

local function post(node, counters, message)
  local bundle = bundles[node]
  if not bundle then
    bundle = { channel = counters .. ':' .. node }
    bundles[node] = bundle
  end
  bundle[#bundle + 1] = message
end

-- Sends what was posted: a message alone as it is; several behind an 'm', each with its length in bytes and a space before it.
local function flush()
  for _, bundle in pairs(bundles) do
    if #bundle > 1 then
      for i, message in ipairs(bundle) do bundle[i] = #message .. ' ' .. message end
      bundle[1] = 'm' .. bundle[1]
    end
    redis.call('SPUBLISH', bundle.channel, table.concat(bundle))
  end
  bundles = {}
end

-- Carries an item out by the script for one user, which wakes by itself: what was posted before goes first.
local function alone(stem, user, argv)
  flush()
  return each(keys_of(stem, user), argv)
end

-- What a script answered, on one line.
local function joined(reply)
  if type(reply) == 'string' then return reply end
  if type(reply) ~= 'table' then return int(reply) end
  for i, part in ipairs(reply) do
    if type(part) == 'number' then reply[i] = int(part) end
  end
  return table.concat(reply, ' ')
end

-- Carries out each item on its own: what becomes of one is nothing to the others.
local function carry_out(count, act)
  local replies, pattern = {}, lengths_of(count - 1)
  for i = 3, #ARGV do
    local done, reply = pcall(act, fields_of(ARGV[i], count, pattern))
    if not done then reply = { 'error', type(reply) == 'table' and reply.err or tostring(reply) } end
    replies[i - 2] = joined(reply)
  end
  flush()
  return replies
end
