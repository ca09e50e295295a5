-- Begins the scripts that carry out many items, of any users, in one call. script-texts.ts puts in front of it: `item_keys(stem, user)`, the
-- keys of a user, and `each(keys, argv)`, the script that carries out one item in full. In the script, `@item` stands for the names of an
-- item's fields. Not for a Cluster: the keys of the users lie in any slots.
-- @arg clock      see prelude-clock.lua
-- @arg new_epoch  identity for a log that must start afresh
-- @arg items      the fields of each item in turn; the first two are the beginning of the user's keys, and the user
local call = redis.call

-- The clock as numbers, and `wall` as text: plain, and with the 13 digits of a row.
local wall, aged, wall_text, wall_digits
local function set_clock()
  wall, aged = read_clock()
  wall_text, wall_digits = string.format('%.0f', wall), string.format('%013.0f', wall)
end
set_clock()

-- Returns a whole number as text. Lua and Redis print a number that is given as such as a floating-point one, at several times the cost.
local function text_of(number)
  return string.format('%d', number)
end

-- Messages of this call by node: those for one node leave together, on the channel of the first.
local bundles = {}
local send_bundle = send

send = function(node, counters, head, body)
  local bundle = bundles[node]
  if not bundle then
    bundle = { counters = counters }
    bundles[node] = bundle
  end
  local count = #bundle
  bundle[count + 1], bundle[count + 2], bundle[count + 3], bundle[count + 4] = text_of(#head + #body), ' ', head, body
end

-- Sends the bundles: a single message as it is; several behind an 'm', each with its length in bytes and a space before it.
local function flush()
  for node, bundle in pairs(bundles) do
    if #bundle > 4 then
      bundle[1] = 'm' .. bundle[1]
    else
      bundle[1], bundle[2] = '', ''
    end
    send_bundle(node, bundle.counters, '', table.concat(bundle))
  end
  bundles = {}
end

-- Carries out the item at `at` by `each`, which sends its own messages: the bundles leave before them, so that messages stay in order.
-- `each` reads the clock, and the clock is read again for the items that follow: a log must not be ahead of it.
local function in_full(at)
  flush()
  local stem, user = ARGV[at], ARGV[at + 1]
  local line = each(item_keys(stem, user), { user, clock, new_epoch, unpack(ARGV, at + 2, at + ITEM_SIZE - 1) })
  set_clock()
  return line
end

-- Carries out every item: by `usual` if that returns a line, else in full. An item that fails does not concern the others.
local function carry_out(usual)
  local function act(at)
    return usual(unpack(ARGV, at, at + ITEM_SIZE - 1)) or in_full(at)
  end
  local replies = {}
  for at = FIRST_ITEM, #ARGV, ITEM_SIZE do
    local done, reply = pcall(act, at)
    if not done then reply = 'error ' .. (type(reply) == 'table' and reply.err or tostring(reply)) end
    replies[#replies + 1] = reply
  end
  flush()
  return replies
end
