-- Publishes for many users. Carries out two cases in few commands: the log exists, nothing is parked, the rate has room, and nothing is to be
-- trimmed, forgotten, expired, delivered or renewed; and the first publish to a user, which is most of a broadcast to a new topic.
-- publish-full.lua carries out the rest, and is the specification.
-- @arg clock, new_epoch, items  as in prelude-batch.lua
-- Returns for each item: the line of publish-full.lua | 'error <message>'
local ENTRIES_FULL = MAX_ENTRIES + math.floor(MAX_ENTRIES / 10)
local CHANGES_FULL = CHANGES_BOUND + math.floor(CHANGES_BOUND / 10)

local META_TTL = string.format('%.0f', META_TTL_MS)

local KINDS_OF_LOG = { LOG_KIND, STATES_KIND, KEYED_KIND, BODIES_KIND, PARKED_KIND, OPTIONS_KIND, SCHEDULED_KIND, EXPIRIES_KIND, SUBSCRIPTIONS_KIND,
  CHECKS_KIND, CALLS_KIND, CALL_TIMES_KIND, RECEIPTS_KIND }

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
  if count == 0 then return wall_text end
  return text_of(first) .. string.sub(text, rest) .. ',' .. text_of(now - at)
end

-- Publishes to a user of whom META has nothing, without options. Returns nil if META exists.
local function publish_first(stem, user, meta_key, log, id, keyed, tail)
  if call('EXISTS', meta_key) == 1 then return nil end
  -- Keys that remain although meta was lost belong to another log, as in `begin` of prelude.lua.
  local keys = {}
  for i, kind in ipairs(KINDS_OF_LOG) do keys[i] = stem .. kind .. user end
  call('DEL', unpack(keys))
  call('ZREM', stem .. DUE_KIND, user)
  call('ZREM', stem .. TIMES_KIND, user)
  local timed_id = wall_digits .. id
  local tag = tag_after(new_epoch, timed_id)
  local row = 'n' .. timed_id .. tag .. tail
  call('RPUSH', log, row)
  call('PEXPIRE', log, META_TTL_MS)
  if keyed ~= '0' then
    call('ZADD', stem .. KEYED_KIND .. user, 1, string.sub(id, 1, 12))
    call('PEXPIRE', stem .. KEYED_KIND .. user, META_TTL_MS)
  end
  call('PEXPIRE', stem .. CURSORS_KIND .. user, META_TTL_MS)
  local registry = stem .. REGISTRY_KIND .. user
  local woken = #wake_nodes(call('HKEYS', registry), registry, stem .. COUNTERS_KIND, user, 1, new_epoch, row)
  local renew_at = string.format('%.0f', wall + math.floor(META_TTL_MS / 16))
  call('HSET', meta_key, 'e', new_epoch, 't', 1, 'u', 1, 'a', wall, 'o', wall, 'g', tag, 'x', renew_at)
  if RATE_LIMIT > 0 then call('HSET', meta_key, 'l', wall) end
  call('PEXPIRE', meta_key, META_TTL_MS)
  return 'accepted ' .. new_epoch .. ' 1 ' .. woken .. ' 0 ' .. tag
end

-- Returns the line; nil if the case is not one of the two. Nothing has changed then.
return carry_out(function(@item)
  if string.sub(options, 1, 1) == '*' then return nil end
  local meta_key, log = stem .. META_KIND .. user, stem .. LOG_KIND .. user
  local meta = call('HMGET', meta_key, 'e', 't', 'f', 'a', 'o', 'q', 'x', 'u', 'l', 'g', 'c', 'd', 'h', 'j', 'z', 's')
  local epoch = meta[1]
  if not epoch then return options == '' and publish_first(stem, user, meta_key, log, id, keyed, tail) or nil end
  local offset, now = (meta[2] or 0) + 1, wall
  if tonumber(meta[4] or 0) > now then return nil end
  local floor, changes, nearest = meta[3] or 0, tonumber(meta[11] or 0), meta[12] or '0'
  local length = offset - floor
  if length == 1 or length - changes > ENTRIES_FULL or changes > CHANGES_FULL then return nil end
  if offset % FORGET_EVERY == 0 or (meta[6] or '0') ~= '0' then return nil end
  if nearest ~= '0' and tonumber(nearest) <= now then return nil end
  if tonumber(meta[5] or 0) <= aged - RETENTION_MS or now >= tonumber(meta[7] or 0) then return nil end
  -- With push subscriptions there is no usual case. With checks, calls or receipts it replaces no notification, which may have some.
  if meta[13] == '2' then return nil end
  if meta[15] and #keyed > 1 then return nil end
  local times = with_time(meta[9] or '', now)
  if not times then return nil end

  local expires_at, actions, key, hash, expiries, is_hash_new, is_expiry_new
  local old, old_id, old_offset, old_expires_at, old_mark, old_state
  if options ~= '' then
    local deliver_at
    expires_at, deliver_at, actions, key = split_options(options)
    if deliver_at ~= '0' and tonumber(deliver_at) > now then return nil end
    if expires_at ~= '0' and tonumber(expires_at) <= now then return nil end
    local is_in_hash = key ~= '' or actions ~= '.'
    -- The first options of a user lengthen the expiry of all the user's keys, which publish-full.lua does.
    if meta[14] ~= '2' and (is_in_hash or expires_at ~= '0') then return nil end
    if is_in_hash then hash = stem .. OPTIONS_KIND .. user end
    old = key ~= '' and call('HGET', hash, 'c' .. key)
    if old then
      if (meta[13] or '0') ~= '0' then return nil end
      old_offset, old_expires_at, old_mark = collapsed_parts(old, floor, offset - 1)
      if not old_offset then return nil end
      old_id = collapsed_id(old)
      -- Without the number of seen ones in META there are no states: Unread.note_states makes sure of it.
      old_state = meta[16] and call('HGET', stem .. STATES_KIND .. user, old_id)
      if old_state and old_state ~= 'unread' then return nil end
    elseif is_in_hash then
      is_hash_new = call('EXISTS', hash) == 0
    end
    if expires_at ~= '0' or (old and old_expires_at ~= '0') then expiries = stem .. EXPIRIES_KIND .. user end
    is_expiry_new = expires_at ~= '0' and call('EXISTS', expiries) == 0
  end

  local timed_id = wall_digits .. id
  local tag = tag_after(meta[10] or epoch, timed_id)
  local row
  if old then
    row = 'n' .. timed_id .. tag .. REPLACES_BEGIN .. old_id .. REPLACES_END .. tail
  else
    row = 'n' .. timed_id .. tag .. tail
  end
  local place = text_of(offset)
  local keys, id_key = stem .. KEYED_KIND .. user, string.sub(id, 1, 12)
  -- A repeat is answered by publish-full.lua.
  if keyed ~= '0' and call('ZADD', keys, 'NX', place, id_key) == 0 then return nil end
  if call('RPUSH', log, row) ~= length then
    call('RPOP', log)
    if keyed ~= '0' then call('ZREM', keys, id_key) end
    return nil
  end
  if keyed ~= '0' then call('PEXPIRE', keys, META_TTL, 'NX') end
  local registry = stem .. REGISTRY_KIND .. user
  local nodes = call('HKEYS', registry)
  local woken = #nodes == 0 and 0 or #wake_nodes(nodes, registry, stem .. COUNTERS_KIND, user, place, epoch, row)
  if options ~= '' then
    store_options(hash, expiries, id, timed_id, tag, place, expires_at, actions, key)
    if is_hash_new then call('PEXPIRE', hash, 2 * META_TTL_MS) end
    if is_expiry_new then call('PEXPIRE', expiries, 2 * META_TTL_MS) end
    if old then
      empty_replaced(log, hash, expiries, floor, old, old_offset, old_expires_at, old_mark, key)
      if old_state then call('HDEL', stem .. STATES_KIND .. user, old_id) end
    end
    local is_nearest = expires_at ~= '0' and (nearest == '0' or tonumber(expires_at) < tonumber(nearest))
    if is_nearest or (nearest ~= '0' and old_expires_at == nearest) then
      call('HSET', meta_key, 'd', note_nearest(expiries, stem .. SCHEDULED_KIND .. user, stem .. TIMES_KIND, user))
    end
  end
  -- One replaces another one that was unread, so their number stays.
  if old then
    call('HSET', meta_key, 't', place, 'a', wall_text, 'l', times, 'g', tag, 'c', text_of(changes + 1))
  else
    call('HSET', meta_key, 't', place, 'u', text_of((meta[8] or 0) + 1), 'a', wall_text, 'l', times, 'g', tag)
  end
  return 'accepted ' .. epoch .. ' ' .. place .. ' ' .. text_of(woken) .. ' 0 ' .. tag
end)
