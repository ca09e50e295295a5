-- What the scripts that take many users in one call begin with: scripts.ts puts the settings before it, and `each(keys, argv)`, which is
-- the script for one user, whole. Not for Cluster: the keys of the users lie anywhere.
--
-- No KEYS: those of the users are made from the stems.
-- ARGV[1] the clock, as ARGV[2] of prelude.lua
-- ARGV[2] identity for a log that has to be started afresh
-- ARGV[3..] the fields of the items, one item after the other, the same number for each; the first two are the beginning of the user's
--           keys, and the user
local call = redis.call
local clock = tonumber(ARGV[1])
local aged = clock

local function read_clock()
  if tonumber(ARGV[1]) then return end
  local time = call('TIME')
  clock = time[1] * 1000 + math.floor(time[2] / 1000)
  aged = math.min(clock, tonumber(string.sub(ARGV[1], 2)) or clock)
end

read_clock()

local function keys_of(stem, user)
  return {
    stem .. 'm:' .. user, stem .. 'l:' .. user, stem .. 's:' .. user, stem .. 'i:' .. user, stem .. 'q:' .. user,
    stem .. 'c:' .. user, stem .. 'r:' .. user, stem .. 'due', stem .. 'w', stem .. 'b:' .. user
  }
end

-- Wake-ups of this call by node: those for one node leave together, on the channel of the first.
local bundles = {}

-- Takes a message in two parts, which are put together when all leave.
local function post(node, counters, head, body)
  local bundle = bundles[node]
  if not bundle then
    bundle = { channel = counters .. ':' .. node }
    bundles[node] = bundle
  end
  local count = #bundle
  bundle[count + 1], bundle[count + 2], bundle[count + 3] = #head + #body .. ' ', head, body
end

-- Sends what was posted: a message alone as it is; several behind an 'm', each with its length in bytes and a space before it.
local function flush()
  for _, bundle in pairs(bundles) do
    bundle[1] = #bundle > 3 and 'm' .. bundle[1] or ''
    call('SPUBLISH', bundle.channel, table.concat(bundle))
  end
  bundles = {}
end

-- What a script answered, on one line.
local function joined(reply)
  return type(reply) == 'table' and table.concat(reply, ' ') or tostring(reply)
end

-- Executes an item by the script for one user, which wakes by itself: what was posted before goes first. That script reads the clock, so it is
-- read again for the items that follow: a log must not be ahead of it.
local function alone(stem, user, argv)
  flush()
  local reply = joined(each(keys_of(stem, user), argv))
  read_clock()
  return reply
end

-- Carries out each item on its own: what becomes of one is nothing to the others.
local function carry_out(count, act)
  local replies = {}
  for at = 3, #ARGV, count do
    local done, reply = pcall(act, unpack(ARGV, at, at + count - 1))
    if not done then reply = 'error ' .. (type(reply) == 'table' and reply.err or tostring(reply)) end
    replies[#replies + 1] = reply
  end
  flush()
  return replies
end
