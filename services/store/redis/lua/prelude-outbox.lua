-- Reads and writes a user's push subscriptions, the checks of their notifications, the calls to receivers and their receipts. For a user without any, none
-- of these keys exists, and no command is run for them. Their names are made where they are needed, from the name of META.
--
-- SUBSCRIPTIONS   hash: device -> '<lane> <expiration time, or 0> <endpoint> <p256dh> <auth>'
-- CHECKS          zset: '<p push or f fallback><d, s or r: unless delivered, seen or read><offset, 12 digits>' -> time of the check;
--                 while the user is online also 'wr000000000000', or 'lr000000000000' after they left a node: the check of their connections
-- CALLS           hash: number, 12 digits -> '<attempts> <made at> <epoch> <offset> <unless, or -> <event> <id> <lane> <device, or JSON>'
-- CALL_TIMES      zset: '<lane> <number, 12 digits>' -> time of the next attempt
-- RECEIPTS        zset: '<offset, 12 digits><p push or f fallback><s sent, f failed, g `gone` or d dropped><time of the end> <device, or nothing>'
--                 -> offset of a notification in the log
-- CALLERS:<lane>  zset of the bucket: user -> the nearest time in CALL_TIMES of the lane
--
--   mode     meta's h: '2' if the user has subscriptions, else '1' if they may have checks, calls or receipts, else '0'
--   called, dropped, lanes  calls that the script made, older ones that it dropped for them, and the lanes of those made
local Outbox = { mode = meta[17] or '0', called = 0, dropped = 0, lanes = {}, is_new = false, is_less = false, changed_lanes = {} }

function Outbox.key(kind)
  return string.sub(META, 1, -1 - #OUTBOX.META - #user) .. kind .. user
end

function Outbox.callers(lane)
  return string.sub(META, 1, -1 - #OUTBOX.META - #user) .. OUTBOX.CALLERS .. ':' .. lane
end

function Outbox.digits(number)
  return string.format('%012.0f', number)
end

-- Notes that the script makes one of the keys.
function Outbox.grow(mode)
  if mode > Outbox.mode then Outbox.mode = mode end
  Outbox.is_new = true
end

-- Keeps the checks of a notification that is now in the log at an offset. Returns the time of the first; nil if there are none.
--   push, fallback  '<milliseconds after><d, s or r>'; '.': as the settings say, no fallback; '-': no push
function Outbox.add_checks(offset, push, fallback)
  local first
  local function add(kind, rule)
    local after, unless = string.match(rule, '^(%d+)(%a)$')
    local at = wall + after
    redis.call('ZADD', Outbox.key(OUTBOX.CHECKS), int(at), kind .. unless .. Outbox.digits(offset))
    Outbox.grow('1')
    times_changed = true
    first = math.min(first or at, at)
  end
  if OUTBOX.PUSH_RULE ~= '' and Outbox.mode == '2' and push ~= '-' then add('p', push == '.' and OUTBOX.PUSH_RULE or push) end
  if OUTBOX.TELLS_FALLBACKS and fallback ~= '.' then add('f', fallback) end
  return first
end

-- Returns whether a check is one of the user's connections.
function Outbox.is_of_presence(member)
  local kind = string.sub(member, 1, 1)
  return kind == 'w' or kind == 'l'
end

-- Returns 'w' or 'l' of the check of the user's connections; nil if there is none, as the user is offline.
function Outbox.presence()
  if Outbox.mode == '0' then return nil end
  for _, kind in ipairs({ 'w', 'l' }) do
    if redis.call('ZSCORE', Outbox.key(OUTBOX.CHECKS), kind .. 'r' .. Outbox.digits(0)) then return kind end
  end
end

-- Sets the check of the user's connections, in place of the one there was.
function Outbox.watch(kind, at)
  local checks = Outbox.key(OUTBOX.CHECKS)
  redis.call('ZREM', checks, 'wr' .. Outbox.digits(0), 'lr' .. Outbox.digits(0))
  redis.call('ZADD', checks, int(at), kind .. 'r' .. Outbox.digits(0))
  Outbox.grow('1')
  times_changed = true
end

-- Returns whether the user has a connection on a live node.
function Outbox.is_connected()
  for _, node in ipairs(redis.call('HKEYS', REGISTRY)) do
    if tonumber(redis.call('HGET', COUNTERS, node) or 0) >= 0 then return true end
  end
  return false
end

-- Removes the checks of the notification at an offset.
function Outbox.cancel_checks(offset)
  if Outbox.mode == '0' then return end
  local members = {}
  for _, prefix in ipairs({ 'pd', 'ps', 'pr', 'fd', 'fs', 'fr' }) do members[#members + 1] = prefix .. Outbox.digits(offset) end
  if redis.call('ZREM', Outbox.key(OUTBOX.CHECKS), unpack(members)) > 0 then times_changed, Outbox.is_less = true, true end
end

-- Removes the receipts of notifications with these offsets.
function Outbox.remove_receipts(from, to)
  if redis.call('ZREMRANGEBYSCORE', Outbox.key(OUTBOX.RECEIPTS), from, to) > 0 then Outbox.is_less = true end
end

-- Removes what is kept of a notification that leaves the log. Its calls end when they are leased.
function Outbox.forget(offset)
  if Outbox.mode == '0' then return end
  Outbox.cancel_checks(offset)
  Outbox.remove_receipts(offset, offset)
end

-- Removes what is kept of notifications that leave the log: those up to an offset.
function Outbox.forget_up_to(offset)
  if Outbox.mode == '0' then return end
  Outbox.end_overdue()
  Outbox.remove_receipts('-inf', offset == math.huge and '+inf' or offset)
  for _, member in ipairs(redis.call('ZRANGE', Outbox.key(OUTBOX.CHECKS), 0, -1)) do
    if not Outbox.is_of_presence(member) and tonumber(string.sub(member, 3)) <= offset then
      redis.call('ZREM', Outbox.key(OUTBOX.CHECKS), member)
      times_changed, Outbox.is_less = true, true
    end
  end
end

-- Returns the time of the next check, or nil; of the next one that is not `w` if `is_timed`.
function Outbox.next_check(is_timed)
  if Outbox.mode == '0' then return nil end
  local first, at, _, second_at = unpack(redis.call('ZRANGE', Outbox.key(OUTBOX.CHECKS), 0, is_timed and 1 or 0, 'WITHSCORES'))
  return tonumber(is_timed and first and string.sub(first, 1, 1) == 'w' and (second_at or '') or at)
end

-- Decodes a call.
function Outbox.decode(text)
  local attempts, made_at, of, offset, unless, event, id, lane, rest =
    string.match(text, '^(%d+) (%d+) ([^ ]+) (%d+) ([^ ]) ([^ ]+) ([^ ]+) ([^ ]+) (.*)$')
  return {
    attempts = tonumber(attempts), made_at = made_at, epoch = of, offset = tonumber(offset), unless = unless, event = event, id = id,
    lane = lane, rest = rest
  }
end

-- Keeps a call. `no` has 12 digits.
function Outbox.write(no, call, at)
  local head = int(call.attempts) .. ' ' .. call.made_at .. ' ' .. call.epoch .. ' ' .. int(call.offset) .. ' ' .. call.unless
  redis.call('HSET', Outbox.key(OUTBOX.CALLS), no, head .. ' ' .. call.event .. ' ' .. call.id .. ' ' .. call.lane .. ' ' .. call.rest)
  redis.call('ZADD', Outbox.key(OUTBOX.CALL_TIMES), int(at), call.lane .. ' ' .. no)
  Outbox.changed_lanes[call.lane] = true
  Outbox.grow('1')
end

function Outbox.end_call(no, lane)
  redis.call('HDEL', Outbox.key(OUTBOX.CALLS), no)
  redis.call('ZREM', Outbox.key(OUTBOX.CALL_TIMES), lane .. ' ' .. no)
  Outbox.changed_lanes[lane] = true
  Outbox.is_less = true
end

-- Returns whether a call is about a notification that is in the log.
function Outbox.is_in_log(call)
  if call.epoch ~= epoch or call.offset <= floor or call.offset > top then return false end
  local row = redis.call('LINDEX', LOG, call.offset - floor - 1)
  return row and kind_of(row) == 'n' and id_of(row) == call.id
end

-- Ends a call, and keeps the receipt if its notification is in the log. `status` is the first letter of the receipt's.
function Outbox.finish(no, call, status)
  Outbox.end_call(no, call.lane)
  local kind = call.event == 'push' and 'p' or call.event == 'notification.fallback' and 'f'
  if not kind or not Outbox.is_in_log(call) then return end
  local receipts = Outbox.key(OUTBOX.RECEIPTS)
  local receipt = Outbox.digits(call.offset) .. kind .. status .. int(wall) .. ' ' .. call.rest
  redis.call('ZADD', receipts, int(call.offset), receipt)
  Outbox.grow('1')
  if redis.call('ZCARD', receipts) <= OUTBOX.MAX_RECEIPTS then return end
  local oldest = redis.call('ZRANGE', receipts, 0, 0, 'WITHSCORES')[2]
  redis.call('ZREMRANGEBYSCORE', receipts, oldest, oldest)
end

-- Ends the calls that nobody has leased for MAX_OVERDUE_MS.
function Outbox.end_overdue()
  local overdue = redis.call('ZRANGEBYSCORE', Outbox.key(OUTBOX.CALL_TIMES), '-inf', int(wall - OUTBOX.MAX_OVERDUE_MS))
  for _, member in ipairs(overdue) do
    local lane, no = string.match(member, '^([^ ]+) (%d+)$')
    local text = redis.call('HGET', Outbox.key(OUTBOX.CALLS), no)
    if text then Outbox.finish(no, Outbox.decode(text), 'f') else Outbox.end_call(no, lane) end
  end
end

-- Returns the receipts of the calls for a notification in the log, each as '<p or f><w waiting, s, f, g or d><time> <device, or nothing>'.
function Outbox.receipts_of(id, offset)
  local found = {}
  if Outbox.mode == '0' then return found end
  for _, receipt in ipairs(redis.call('ZRANGEBYSCORE', Outbox.key(OUTBOX.RECEIPTS), offset, offset)) do
    found[#found + 1] = string.sub(receipt, 13)
  end
  for _, text in ipairs(redis.call('HVALS', Outbox.key(OUTBOX.CALLS))) do
    local call = Outbox.decode(text)
    local kind = call.event == 'push' and 'p' or call.event == 'notification.fallback' and 'f'
    if kind and call.id == id and call.epoch == epoch then found[#found + 1] = kind .. 'w' .. call.made_at .. ' ' .. call.rest end
  end
  return found
end

-- Makes a call that is due now. A user with MAX_CALLS loses the oldest.
--   rest  the device to push to, or the JSON of what happened
function Outbox.call(lane, event, id, offset, unless, rest)
  local calls = Outbox.key(OUTBOX.CALLS)
  if Outbox.mode ~= '0' then Outbox.end_overdue() end
  if Outbox.mode ~= '0' and redis.call('HLEN', calls) >= OUTBOX.MAX_CALLS then
    local oldest
    for _, no in ipairs(redis.call('HKEYS', calls)) do
      if not oldest or tonumber(no) < tonumber(oldest) then oldest = no end
    end
    Outbox.end_call(oldest, Outbox.decode(redis.call('HGET', calls, oldest)).lane)
    Outbox.dropped = Outbox.dropped + 1
  end
  park_no = park_no + 1
  local call = { attempts = 0, made_at = int(wall), epoch = epoch, offset = offset, unless = unless, event = event, id = id, lane = lane, rest = rest }
  Outbox.write(Outbox.digits(park_no), call, wall)
  Outbox.called, Outbox.lanes[lane] = Outbox.called + 1, true
end

-- Returns {number, 12 digits, ...} of the calls to a device.
function Outbox.calls_to(device)
  local found = {}
  local calls = redis.call('HGETALL', Outbox.key(OUTBOX.CALLS))
  for i = 1, #calls, 2 do
    local call = Outbox.decode(calls[i + 1])
    if call.event == 'push' and call.rest == device then found[#found + 1] = calls[i] end
  end
  return found
end

-- Removes the subscription of a device, and the calls to it. Returns whether there was one.
function Outbox.unsubscribe(device)
  if Outbox.mode ~= '2' or redis.call('HDEL', Outbox.key(OUTBOX.SUBSCRIPTIONS), device) == 0 then return false end
  Outbox.is_less = true
  for _, no in ipairs(Outbox.calls_to(device)) do
    Outbox.end_call(no, Outbox.decode(redis.call('HGET', Outbox.key(OUTBOX.CALLS), no)).lane)
  end
  return true
end

-- Returns whether some device has received the row at an offset.
function Outbox.is_received(offset)
  for _, cursor in ipairs(redis.call('HVALS', CURSORS)) do
    local of, received = string.match(cursor, '^([^ ]*) (%d+) ')
    if of == epoch and tonumber(received) >= offset then return true end
  end
  return false
end

-- Returns whether somebody has looked at a notification in the log, as far as `unless` asks. An answered one was looked at.
function Outbox.is_looked_at(id, offset, unless)
  local state = redis.call('HGET', STATES, id)
  if state == 'read' or state == 'archived' or (has_options and redis.call('HEXISTS', OPTIONS, 'a' .. id) == 1) then return true end
  if unless == 'r' then return false end
  return state == 'seen' or (unless == 'd' and Outbox.is_received(offset))
end

-- Returns what is told of an expiry. The type is taken from the row as it is there: JSON.
function Outbox.expiry_data(id, row)
  local tail = tail_of(row)
  local _, quote = string.find(tail, '"type":"', 1, true)
  local last = quote + 1
  while string.sub(tail, last, last) ~= '"' do last = last + (string.sub(tail, last, last) == '\\' and 2 or 1) end
  return '{"id":"' .. id .. '","type":' .. string.sub(tail, quote, last) .. '}'
end

-- Returns the names of the lanes in which the script made calls, in alphabetical order.
function Outbox.lane_names()
  local names = {}
  for lane in pairs(Outbox.lanes) do names[#names + 1] = lane end
  table.sort(names)
  return names
end

-- Returns the five keys of the user.
function Outbox.keys()
  local keys = {}
  for i, kind in ipairs({ 'SUBSCRIPTIONS', 'CHECKS', 'CALLS', 'CALL_TIMES', 'RECEIPTS' }) do keys[i] = Outbox.key(OUTBOX[kind]) end
  return keys
end

-- Removes everything, for a user who is erased, or whose meta was lost.
function Outbox.clear()
  for _, text in ipairs(redis.call('HVALS', Outbox.key(OUTBOX.CALLS))) do redis.call('ZREM', Outbox.callers(Outbox.decode(text).lane), user) end
  redis.call('DEL', unpack(Outbox.keys()))
  Outbox.mode = '0'
end

-- Writes the time of the nearest call of each lane that changed, and finds out whether there is still anything.
function Outbox.save()
  if not Outbox.is_less and next(Outbox.changed_lanes) == nil then return end
  local calls = Outbox.key(OUTBOX.CALL_TIMES)
  for lane in pairs(Outbox.changed_lanes) do
    local nearest, from = nil, 0
    repeat
      local members = redis.call('ZRANGE', calls, from, from + CHUNK - 1, 'WITHSCORES')
      for i = 1, #members, 2 do
        if string.sub(members[i], 1, #lane + 1) == lane .. ' ' then
          nearest = members[i + 1]
          break
        end
      end
      from = from + CHUNK
    until nearest or #members < 2 * CHUNK
    local callers = Outbox.callers(lane)
    if nearest then redis.call('ZADD', callers, nearest, user) else redis.call('ZREM', callers, user) end
  end
  if not Outbox.is_less then return end
  if redis.call('EXISTS', Outbox.key(OUTBOX.SUBSCRIPTIONS)) == 1 then
    Outbox.mode = '2'
  else
    Outbox.mode = redis.call('EXISTS', unpack(Outbox.keys())) == 0 and '0' or '1'
  end
end
