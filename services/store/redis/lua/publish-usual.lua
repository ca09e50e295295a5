-- Publishes for many users. Carries out the usual case in few commands: the log exists, nothing is parked, the rate has room, and nothing
-- is to be trimmed, forgotten or renewed. publish-full.lua carries out the rest.
-- @arg clock, new_epoch, items  as in prelude-batch.lua
-- Returns for each item: the line of publish-full.lua | 'error <message>'
local FULL = MAX_ENTRIES + math.floor(MAX_ENTRIES / 10)

-- Returns the limiter's times with this one added; nil if the rate has no room. Of the times that stay only the first is rewritten, from
-- a step to a time.
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

-- Returns the line; nil if the case is not the usual one. Nothing has changed then.
return carry_out(function(@item)
  if keyed ~= '0' or options ~= '' then return nil end
  local meta_key, log = stem .. META_KIND .. user, stem .. LOG_KIND .. user
  local meta = call('HMGET', meta_key, 'e', 't', 'f', 'a', 'o', 'q', 'x', 'u', 'l', 'g', 'c', 'd')
  local epoch = meta[1]
  if not epoch then return nil end
  local offset, now = (meta[2] or 0) + 1, wall
  if tonumber(meta[4] or 0) > now then return nil end
  local length = offset - (meta[3] or 0)
  if length == 1 or length - (meta[11] or 0) > FULL or offset % FORGET_EVERY == 0 or (meta[6] or '0') ~= '0' then return nil end
  if meta[12] and meta[12] ~= '0' and tonumber(meta[12]) <= now then return nil end
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
  local registry = stem .. REGISTRY_KIND .. user
  local nodes = call('HKEYS', registry)
  local woken = #nodes == 0 and 0 or #wake_nodes(nodes, registry, stem .. COUNTERS_KIND, user, offset, epoch, row)
  call('HSET', meta_key, 't', offset, 'u', (meta[8] or 0) + 1, 'a', now, 'l', times, 'g', tag)
  return 'accepted ' .. epoch .. ' ' .. offset .. ' ' .. woken .. ' 0 ' .. tag
end)
