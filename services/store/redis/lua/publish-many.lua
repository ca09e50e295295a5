-- Publishes for many users, each as publish.lua does it. What is usual is done here in few commands: a log that is there, nothing parked,
-- room in the rate, and nothing to trim, to forget or to renew. The rest goes to publish.lua.
-- ARGV[1..] as in prelude-many.lua; the fields are stem, user, '1' when an Idempotency-Key made the id, half-life, id, tail
-- Returns a line for each: what publish.lua returns, its parts with spaces between | 'error <message>'
local FULL = MAX_ENTRIES + math.floor(MAX_ENTRIES / 10)

-- The limiter's times with this one added, or nil when there is no room. Of those that stay only the first changes, to a time.
local function with_time(text, now)
  if RATE_LIMIT == 0 then return text == '' and '' or nil end
  local at, count, first, rest = 0, 0, nil, nil
  for step, behind in string.gmatch(text, '(%d+)()') do
    at = at + step
    if at > now - RATE_WINDOW_MS then
      if count == 0 then first, rest = at, behind end
      count = count + 1
    end
  end
  if count >= RATE_LIMIT then return nil end
  if count == 0 then return int(now) end
  return int(first) .. string.sub(text, rest) .. ',' .. int(now - at)
end

-- Wakes the nodes that hold the user; how many.
local function wake(registry, counters, body)
  local told = 0
  for _, node in ipairs(redis.call('HKEYS', registry)) do
    local count = redis.call('HINCRBY', counters, node, 1)
    if count < 0 then
      redis.call('HDEL', registry, node)
    else
      post(node, counters, 'w' .. int(count) .. ' ' .. body)
      told = told + 1
    end
  end
  return told
end

local function number(field)
  return field and tonumber(field) or 0
end

-- The answer, or nil when it is not as usual; nothing has changed then.
local function usual(stem, user, id, tail)
  local meta_key, log = stem .. 'm:' .. user, stem .. 'l:' .. user
  local meta = redis.call('HMGET', meta_key, 'e', 't', 'f', 'a', 'o', 'q', 'x', 'u', 'l')
  local epoch, top, floor, latest = meta[1], number(meta[2]), number(meta[3]), number(meta[4])
  if not epoch or top == floor or number(meta[6]) > 0 or top + 1 - floor > FULL or (top + 1) % FORGET_EVERY == 0 then return nil end
  local now = math.max(clock, latest)
  if number(meta[5]) <= now - RETENTION_MS or now >= number(meta[7]) then return nil end
  local times = with_time(meta[9] or '', now)
  if not times then return nil end

  local row = 'n' .. string.format('%013.0f', now) .. id .. tail
  if redis.call('RPUSH', log, row) ~= top + 1 - floor then
    redis.call('RPOP', log)
    return nil
  end
  local offset = int(top + 1)
  local body = offset .. ' ' .. epoch .. ' ' .. #user .. ' ' .. user .. (#row <= INLINE_MAX and row or '')
  local told = wake(stem .. 'r:' .. user, stem .. 'w', body)
  redis.call('HSET', meta_key, 't', offset, 'u', int(number(meta[8]) + 1), 'a', int(now), 'l', times)
  return 'accepted ' .. epoch .. ' ' .. offset .. ' ' .. told .. ' 0'
end

return carry_out(6, function(fields)
  local stem, user, keyed, half_life, id, tail = unpack(fields)
  local answer = keyed == '0' and usual(stem, user, id, tail)
  return answer or alone(stem, user, { user, ARGV[1], ARGV[2], id, keyed, tail, half_life })
end)
