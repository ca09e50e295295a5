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
  if count == 0 then return now end
  return first .. string.sub(text, rest) .. ',' .. now - at
end

-- Wakes the nodes that hold the user; how many.
local function wake(stem, user, offset, epoch, row)
  local registry, counters = stem .. 'r:' .. user, stem .. 'w'
  local nodes = call('HKEYS', registry)
  if #nodes == 0 then return 0 end
  local place = ' ' .. offset .. ' ' .. epoch .. ' ' .. #user .. ' ' .. user
  local inline = #row <= INLINE_MAX and row or ''
  local told = 0
  for _, node in ipairs(nodes) do
    local count = call('HINCRBY', counters, node, 1)
    if count < 0 then
      call('HDEL', registry, node)
    else
      post(node, counters, 'w' .. count .. place, inline)
      told = told + 1
    end
  end
  return told
end

-- The answer, or nil when it is not as usual; nothing has changed then.
local function usual(stem, user, id, tail)
  local meta_key, log = stem .. 'm:' .. user, stem .. 'l:' .. user
  local meta = call('HMGET', meta_key, 'e', 't', 'f', 'a', 'o', 'q', 'x', 'u', 'l', 'g', 'c')
  local epoch = meta[1]
  if not epoch then return nil end
  local offset, now = (meta[2] or 0) + 1, clock
  if tonumber(meta[4] or 0) > clock then return nil end
  local length = offset - (meta[3] or 0)
  if length == 1 or length - (meta[11] or 0) > FULL or offset % FORGET_EVERY == 0 or (meta[6] or '0') ~= '0' then return nil end
  if tonumber(meta[5] or 0) <= aged - RETENTION_MS or now >= tonumber(meta[7] or 0) then return nil end
  local times = with_time(meta[9] or '', now)
  if not times then return nil end

  local timed_id = string.format('%013.0f', now) .. id
  local tag = string.sub(redis.sha1hex((meta[10] or epoch) .. timed_id), 1, 8)
  local row = 'n' .. timed_id .. tag .. tail
  if call('RPUSH', log, row) ~= length then
    call('RPOP', log)
    return nil
  end
  local told = wake(stem, user, offset, epoch, row)
  call('HSET', meta_key, 't', offset, 'u', (meta[8] or 0) + 1, 'a', now, 'l', times, 'g', tag)
  return 'accepted ' .. epoch .. ' ' .. offset .. ' ' .. told .. ' 0 ' .. tag
end

return carry_out(6, function(stem, user, keyed, half_life, id, tail)
  return keyed == '0' and usual(stem, user, id, tail)
    or alone(stem, user, { user, ARGV[1], ARGV[2], id, keyed, tail, half_life })
end)
