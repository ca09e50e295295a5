-- Changes the log of one user: trims, appends, parks, saves. Loading ends with removing the rows past retention.

local function row_at(offset)
  return offset > floor and offset <= top and redis.call('LINDEX', LOG, offset - floor - 1) or nil
end

local function id8_at(offset)
  local row = row_at(offset)
  return row and id8_of(row) or (offset > 0 and offset == top and chain) or ''
end

-- Returns id -> state, without the ids that are unread.
local function states_of(ids)
  local states = {}
  if #ids == 0 or not Unread.has_states() then return states end
  for from = 1, #ids, 1000 do
    local to = math.min(from + 999, #ids)
    for i, state in ipairs(redis.call('HMGET', STATES, unpack(ids, from, to))) do
      if state then states[ids[from + i - 1]] = state end
    end
  end
  return states
end

-- Calls visit(row, offset) from the oldest row on, up to and with the offset `last`, until it returns true.
local function each_row(last, visit)
  for from = floor + 1, last, CHUNK do
    local to = math.min(from + CHUNK - 1, last)
    for i, row in ipairs(redis.call('LRANGE', LOG, from - floor - 1, to - floor - 1)) do
      if visit(row, from + i - 1) then return end
    end
  end
end

-- Calls visit(row, offset) from the newest row to the oldest.
local function each_row_back(visit)
  local last = top
  while last > floor do
    local first = math.max(floor + 1, last - CHUNK + 1)
    local rows = redis.call('LRANGE', LOG, first - floor - 1, last - floor - 1)
    for i = #rows, 1, -1 do visit(rows[i], first + i - 1) end
    last = first - 1
  end
end

-- Keeps the ends of the ids that an Idempotency-Key made, because their rows leave the log.
local function keep_bodies(ids)
  for from = 1, #ids, 1000 do
    local keys, fields = {}, {}
    for i = from, math.min(from + 999, #ids) do keys[#keys + 1] = string.sub(ids[i], 1, 12) end
    for i, place in ipairs(redis.call('ZMSCORE', KEYED, unpack(keys))) do
      if place and tonumber(place) > 0 then
        fields[#fields + 1] = keys[i]
        fields[#fields + 1] = 'l' .. string.sub(ids[from + i - 1], 13)
      end
    end
    if #fields > 0 then redis.call('HSET', BODIES, unpack(fields)) end
  end
  redis.call('PEXPIRE', BODIES, META_TTL_MS, 'NX')
end

local function drop(to)
  Outbox.forget_up_to(to)
  local ids, offset_by_id, keyed = {}, {}, redis.call('EXISTS', KEYED) == 1 and {}
  each_row(to, function(row, offset)
    local kind, id = kind_of(row), id_of(row)
    if kind == 'n' then
      ids[#ids + 1] = id
      offset_by_id[id] = offset
    end
    if not is_entry(row) then changes = changes - 1 end
    if keyed and (kind == 'n' or kind == 'x') then keyed[#keyed + 1] = id end
    if keyed and kind == 'd' then
      for _, named in ipairs(ids_in(row)) do keyed[#keyed + 1] = named end
    end
  end)
  if keyed then keep_bodies(keyed) end
  local states = states_of(ids)
  for _, id in ipairs(ids) do
    Unread.change(states[id], 'removed')
    if states[id] then redis.call('HDEL', STATES, id) end
  end
  Options.remove(offset_by_id, Options.collapse_keys())
  Options.forget_if_none()
  redis.call('LTRIM', LOG, to - floor, -1)
  floor = to
  local first = row_at(floor + 1)
  oldest = first and time_of(first) or 0
end

-- Starts the log afresh. The idempotency keys of its rows are removed. Those of waiting notifications, and of notifications that were recalled
-- before they had an offset, are kept.
local function reset()
  Outbox.forget_up_to(math.huge)
  redis.call('DEL', LOG, STATES)
  Options.remove_of_log()
  redis.call('ZREMRANGEBYSCORE', KEYED, 0, '+inf')
  local bodies = redis.call('HGETALL', BODIES)
  for i = 1, #bodies, 2 do
    local kind = string.sub(bodies[i + 1], 1, 1)
    if kind == 'r' then
      redis.call('ZADD', KEYED, 0, bodies[i])
    elseif kind == 'l' then
      redis.call('HDEL', BODIES, bodies[i])
    end
  end
  redis.call('PEXPIRE', KEYED, META_TTL_MS, 'NX')
  epoch, top, floor, unread, oldest, changes = new_epoch, 0, 0, 0, 0, 0
  chain = epoch
  Unread.known, Unread.exists, Unread.is_stored = 0, false, Unread.is_stored or meta[16] ~= false
end

-- Gives a new log its identity. Keys that remain although meta was lost belong to another log, and are deleted.
local function begin()
  if epoch ~= '' then return end
  redis.call('DEL', KEYED, BODIES, PARKED, OPTIONS, SCHEDULED, EXPIRIES, unpack(Outbox.keys()))
  redis.call('ZREM', DUE, user)
  redis.call('ZREM', TIMES, user)
  reset()
end

-- Reads the times of the latest notifications, ascending; those from `fresh` on are in the rate window. They are stored as the first time
-- and the steps between. Times ahead of a clock that was set back count as now, so that their slots are free again after one window.
local function read_limiter()
  if limiter then return end
  limiter, fresh = {}, 1
  local at = 0
  for step in string.gmatch(meta[7] or '', '%d+') do
    at = at + tonumber(step)
    local time = math.min(at, wall)
    clamped = clamped or at > wall
    limiter[#limiter + 1] = time
    if time <= wall - RATE_WINDOW_MS then fresh = #limiter + 1 end
  end
end

local function count_notification()
  read_limiter()
  local times = {}
  if RATE_LIMIT > 0 then
    for i = fresh, #limiter do times[#times + 1] = limiter[i] end
    times[#times + 1] = wall
  end
  limiter, fresh = times, 1
end

local function free_slots()
  if RATE_LIMIT == 0 then return math.huge end
  read_limiter()
  return math.max(0, RATE_LIMIT - (#limiter - fresh + 1))
end

-- Returns when the parked notification at an index (0 is the next) will be released, if none is recalled.
local function release_at(index)
  if RATE_LIMIT == 0 then return wall end
  read_limiter()
  local used = math.min(#limiter - fresh + 1, RATE_LIMIT)
  local slot, free = index % RATE_LIMIT, RATE_LIMIT - used
  local first = slot < free and wall or limiter[#limiter - used + slot - free + 1] + RATE_WINDOW_MS
  return first + math.floor(index / RATE_LIMIT) * RATE_WINDOW_MS
end

-- Wakes the nodes that hold connections of the user. Returns how many.
local function wake(row)
  nodes = wake_nodes(nodes or redis.call('HKEYS', REGISTRY), REGISTRY, COUNTERS, user, top, epoch, row)
  return #nodes
end

-- Removes the idempotency keys of rows up to an offset.
local function forget(offset)
  if offset < 0 then return end
  local keys = redis.call('ZRANGEBYSCORE', KEYED, 0, offset)
  for from = 1, #keys, 1000 do redis.call('HDEL', BODIES, unpack(keys, from, math.min(from + 999, #keys))) end
  if #keys > 0 then redis.call('ZREMRANGEBYSCORE', KEYED, 0, offset) end
end

-- Removes each id from all `s` rows but the newest that names it. Empties the rows without ids.
local function coalesce()
  local named = {}
  each_row_back(function(row, offset)
    if kind_of(row) ~= 's' then return end
    local ids, left = ids_in(row), {}
    for _, id in ipairs(ids) do
      if not named[id] then left[#left + 1] = id end
    end
    for _, id in ipairs(left) do named[id] = true end
    if #left > 0 and #left < #ids then
      redis.call('LSET', LOG, offset - floor - 1, with_ids(row, left))
    elseif #left == 0 and offset < top then
      redis.call('LSET', LOG, offset - floor - 1, rewritten(row, '-', ''))
    end
  end)
end

-- Appends a row, for which make_room made room, and wakes nodes. Returns how many.
local function append(kind, id, tail)
  local timed_id = string.format('%013.0f', now) .. id
  chain = tag_after(chain, timed_id)
  local row = kind .. timed_id .. chain .. tail
  if redis.call('RPUSH', LOG, row) == 1 then
    redis.call('PEXPIRE', LOG, (has_options or nearest_at ~= 0) and 2 * META_TTL_MS or META_TTL_MS)
    oldest = now
  end
  if kind == 'n' or kind == 'd' then count_notification() else changes = changes + 1 end
  top, latest = top + 1, now
  if kind == 'n' then unread = unread + 1 end
  local woken = wake(row)
  if top % FORGET_EVERY == 0 then forget(math.min(top - IDEMPOTENCY_WINDOW, floor)) end
  if kind == 's' and changes % COALESCE_EVERY == 0 then coalesce() end
  return woken
end

-- Tells the devices that are connected the unread count, by a row without ids.
local function tell_unread()
  nodes = nodes or redis.call('HKEYS', REGISTRY)
  if #nodes > 0 then append('s', COUNT_ID, state_tail({}, 'read', Unread.counts())) end
end

-- Drops the rows up to an offset. If that changes the unread count, appends a row that tells connected devices.
local function trim(to)
  if to == floor then return end
  local before = unread
  drop(to)
  if unread ~= before then tell_unread() end
end

local make_room
do
  local function excess(count, bound)
    return count > bound + math.floor(bound / 10) and count - bound or 0
  end

  -- Trims so that one more row fits: an entry (a notification or a digest) or a change (any other). Returns whether it dropped rows.
  function make_room(entry)
    local entries = excess(top - floor - changes + (entry and 1 or 0), MAX_ENTRIES)
    local others = excess(changes + (entry and 0 or 1), CHANGES_BOUND)
    if entries == 0 and others == 0 then return false end
    local to = floor
    each_row(top, function(row, offset)
      if entries <= 0 and others <= 0 then return true end
      if is_entry(row) then entries = entries - 1 else others = others - 1 end
      to = offset
    end)
    trim(to)
    return true
  end
end

local function remember(key, place)
  redis.call('ZADD', KEYED, place, key)
  redis.call('PEXPIRE', KEYED, META_TTL_MS, 'NX')
end

-- Sets a device's cursor. A device over MAX_DEVICES evicts the least recently used cursor.
local function set_cursor(device, of, offset, id8)
  local new = redis.call('HSET', CURSORS, device, of .. ' ' .. int(offset) .. ' ' .. id8 .. ' ' .. int(now)) == 1
  redis.call('PEXPIRE', CURSORS, META_TTL_MS, 'NX')
  if not new or redis.call('HLEN', CURSORS) <= MAX_DEVICES then return end
  local oldest_device, oldest_at = device, nil
  local cursors = redis.call('HGETALL', CURSORS)
  for i = 1, #cursors, 2 do
    local name, at = cursors[i], tonumber(string.match(cursors[i + 1], '(%d+)$'))
    if name ~= device and (not oldest_at or at < oldest_at or (at == oldest_at and is_before(name, oldest_device))) then
      oldest_device, oldest_at = name, at
    end
  end
  redis.call('HDEL', CURSORS, oldest_device)
end

-- Writes the time of the user's next release to DUE.
local function note_release()
  -- If the rate has a free slot, the release is due at once. A clock that is set back later must not delay it.
  if parked == 0 then redis.call('ZREM', DUE, user) else redis.call('ZADD', DUE, free_slots() > 0 and 0 or release_at(0), user) end
end

local function times_text()
  if #limiter == 0 then return '' end
  local steps = { int(limiter[1]) }
  for i = 2, #limiter do steps[i] = int(limiter[i] - limiter[i - 1]) end
  return table.concat(steps, ',')
end

-- Writes the fields of meta that changed, and the time of the next release if the clamped limiter moves it. Renews the expiry of the user's
-- keys once in a sixteenth of META_TTL_MS. A delivery or an expiry can be 30 days ahead, so keys of a user with options live twice as long.
local function save()
  if epoch == '' then return end
  local lived_long = (meta[14] or '0') ~= '0' or meta[15] == '2'
  if times_changed then nearest_at = tonumber(note_nearest(EXPIRIES, SCHEDULED, TIMES, user, Outbox.next_check())) end
  local lives_long = nearest_at ~= 0 or has_options
  Outbox.save()
  if has_options and meta[15] ~= '2' then Unread.note_states() end
  local fields = {}
  local function put(name, value, index)
    if value ~= (meta[index] or ((name == 'l' or name == 'j') and '' or '0')) then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  if clamped and parked > 0 then note_release() end
  put('e', epoch, 1)
  put('t', int(top), 2)
  put('f', int(floor), 3)
  put('u', int(unread), 4)
  put('a', int(latest), 5)
  put('o', int(oldest), 6)
  if limiter then put('l', times_text(), 7) end
  put('n', int(park_no), 8)
  put('q', int(parked), 9)
  put('r', int(revoked), 10)
  put('g', chain, 12)
  put('c', int(changes), 13)
  put('d', int(nearest_at), 14)
  put('j', has_options and '2' or '', 15)
  put('h', Outbox.mode, 17)
  if Unread.known and Unread.is_stored then put('s', int(Unread.known) .. ' ' .. Unread.stamp(), 16) end
  local renew = now >= tonumber(meta[11] or 0) or revoked ~= tonumber(meta[10] or 0) or (lives_long and not lived_long)
  if renew then put('x', int(now + math.floor(META_TTL_MS / 16)), 11) end
  if #fields > 0 then redis.call('HSET', META, unpack(fields)) end
  if Outbox.is_new and not renew then
    for _, key in ipairs(Outbox.keys()) do redis.call('PEXPIRE', key, 2 * META_TTL_MS, 'NX') end
  end
  if not renew then
    -- A key that this step made has no expiry yet.
    if Options.changed then redis.call('PEXPIRE', OPTIONS, 2 * META_TTL_MS, 'NX') end
    if times_changed then
      for _, key in ipairs({ SCHEDULED, EXPIRIES }) do redis.call('PEXPIRE', key, 2 * META_TTL_MS, 'NX') end
    end
    return
  end
  local ttl = lives_long and 2 * META_TTL_MS or META_TTL_MS
  for _, key in ipairs({ LOG, STATES, KEYED, PARKED, CURSORS, BODIES }) do redis.call('PEXPIRE', key, ttl) end
  if lives_long then
    for _, key in ipairs({ OPTIONS, SCHEDULED, EXPIRIES }) do redis.call('PEXPIRE', key, ttl) end
  end
  if Outbox.mode ~= '0' then
    for _, key in ipairs(Outbox.keys()) do redis.call('PEXPIRE', key, ttl) end
  end
  -- Meta has the revocation, which must outlive every token that was issued before it.
  redis.call('PEXPIRE', META, revoked == 0 and ttl or math.max(ttl, int(revoked + REVOCATION_TTL_MS - wall)))
end

-- A list with another length than meta says has lost a part. The remaining rows have unknown offsets, so the log starts afresh.
if epoch ~= '' and redis.call('LLEN', LOG) ~= top - floor then reset() end

if meta[15] == '0' or meta[15] == '1' then Options.convert() end

if top > floor and oldest <= aged - RETENTION_MS then
  local to = floor
  each_row(top, function(row, offset)
    if time_of(row) > aged - RETENTION_MS then return true end
    to = offset
  end)
  trim(to)
end

if latest > wall then read_limiter() end
