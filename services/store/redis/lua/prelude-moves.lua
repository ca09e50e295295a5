-- Moves notifications: from SCHEDULED to PARKED or the log, from PARKED to the log, and out of all three. The loading of a log ends here,
-- with removing what has expired.

local function key_of(id)
  return string.sub(id, 1, 12)
end

local move_keys
do
  -- Sets the place of an idempotency key. If no row holds the id that the key made, BODIES keeps the rest of the id.
  --   place  offset in the log, or minus a turn
  --   kind   'l' in the log | 'p' parked | 'r' recalled, or expired, before it had an offset
  local function move_key(key, place, kind, own_id)
    local kept = redis.call('HGET', BODIES, key)
    local body = kept and string.match(kept, '^s%d+ (.*)$') or kept and string.sub(kept, 2)
    if not body and kind == 'r' then body = string.sub(own_id, 13) end
    if body then
      redis.call('HSET', BODIES, key, kind .. body)
      redis.call('PEXPIRE', BODIES, META_TTL_MS, 'NX')
    end
    remember(key, place)
  end

  -- Moves the keys that refer to the turn of a waiting notification. If it has a collapse key, keys of replaced notifications may do so too.
  function move_keys(waiting, place, kind)
    local id = id_of(waiting.row)
    local turn = int(-waiting.no)
    if waiting.collapse_key ~= '' then
      for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYED, turn, turn)) do move_key(key, place, kind, id) end
      return
    end
    local current = redis.call('ZSCORE', KEYED, key_of(id))
    if current and tonumber(current) == -waiting.no then move_key(key_of(id), place, kind, id) end
  end
end

-- Removes the collapse key and the expiry of a parked notification.
local function forget_parked(waiting)
  local score = Waiting.score(waiting.no, waiting.level)
  if waiting.collapse_key ~= '' then redis.call('HDEL', OPTIONS, 'p' .. waiting.collapse_key) end
  cancel_expiry('p' .. score, waiting.expires_at)
end

local function unpark(waiting)
  redis.call('ZREM', PARKED, waiting.member)
  parked = parked - 1
  forget_parked(waiting)
end

local function unschedule(waiting, at)
  times_changed = true
  redis.call('ZREM', SCHEDULED, waiting.member)
  if waiting.collapse_key ~= '' then redis.call('HDEL', OPTIONS, 's' .. waiting.collapse_key) end
  cancel_expiry('s' .. Waiting.scheduled_turn(at, waiting.no), waiting.expires_at)
end

-- Removes the state of a notification that leaves the log.
local function remove_state(id)
  Unread.change(states_of({ id })[id], 'removed')
  redis.call('HDEL', STATES, id)
end

-- Finds a notification in the log. Returns its offset and its row; nil, and whether it was folded into a digest, if it is not there.
local function find_in_log(id)
  local options = Options.get(id)
  if options then return options.offset, row_at(options.offset) end
  local offset, found, folded
  each_row(top, function(row, at)
    local kind = kind_of(row)
    if kind == 'n' and id_of(row) == id then
      offset, found = at, row
      return true
    end
    if kind == 'd' and not folded then
      for _, named in ipairs(ids_in(row)) do folded = folded or named == id end
    end
  end)
  return offset, found or folded
end

-- Retracts the notification at an offset, for which make_room made room: empties its row, removes its state, options and answer, and appends an
-- `r` row with the id `row_id`. `reason` is JSON.
local function retract_at(offset, row, key, reason, row_id)
  local id = id_of(row)
  remove_state(id)
  redis.call('LSET', LOG, offset - floor - 1, rewritten(row, 'x', ''))
  changes = changes + 1
  Outbox.forget(offset)
  Options.remove({ [id] = offset }, { [id] = key })
  append('r', row_id, retraction_tail(offset, id, reason, Unread.counts(), key))
end

-- Retracts a notification that is in the log.
local function retract_row(id, reason, row_id)
  local offset, row = find_in_log(id)
  if offset and make_room(false) then offset, row = find_in_log(id) end
  if not offset then return row and 'folded' or 'unknown' end
  retract_at(offset, row, Options.collapse_keys()[id] or '', reason, row_id)
  return 'retracted'
end

-- Appends a notification, for which make_room made room. It replaces the one with the same collapse key. If that one was not unread, devices
-- that do not know it cannot tell which counts grow, so a row tells them. Returns how many nodes were woken, the tag of the notification, and the
-- time of its first check, or nil.
local function append_notification(id, tail, accepted)
  local key = accepted.collapse_key
  local old = key ~= '' and has_options and redis.call('HGET', OPTIONS, 'c' .. key)
  local old_offset, old_expires_at, old_mark
  if old then old_offset, old_expires_at, old_mark = collapsed_parts(old, floor, top) end
  if not old_offset then old = nil end
  local woken = append('n', id, old and REPLACES_BEGIN .. collapsed_id(old) .. REPLACES_END .. tail or tail)
  local tag, unseen_with_old = chain, old and Unread.unseen()
  Options.add(id, accepted)
  if old then
    remove_state(collapsed_id(old))
    Outbox.forget(tonumber(old_offset))
    empty_replaced(LOG, OPTIONS, EXPIRIES, floor, old, old_offset, old_expires_at, old_mark, key)
    if old_expires_at ~= '0' then times_changed = true end
    changes = changes + 1
  end
  local check_at = Outbox.add_checks(top, accepted.push, accepted.fallback)
  if old and Unread.unseen() == unseen_with_old then tell_unread() end
  return woken, tag, check_at
end

local function must_park()
  return parked > 0 or free_slots() == 0
end

-- Returns the parked notification with this collapse key. One whose key PARKED was lost is none.
local function parked_with_key(collapse_key)
  local score = collapse_key ~= '' and has_options and redis.call('HGET', OPTIONS, 'p' .. collapse_key)
  local member = score and Waiting.parked_with_score(score)
  return member and Waiting.decode(member) or nil
end

local park
do
  -- Keeps in BODIES the rest of the id of a parked notification that is replaced, if an idempotency key made the id.
  local function keep_body(waiting, turn)
    local id = id_of(waiting.row)
    local current = redis.call('ZSCORE', KEYED, key_of(id))
    if current and tonumber(current) == -turn and redis.call('HEXISTS', BODIES, key_of(id)) == 0 then
      redis.call('HSET', BODIES, key_of(id), 'p' .. string.sub(id, 13))
      redis.call('PEXPIRE', BODIES, META_TTL_MS, 'NX')
    end
  end

  -- Parks a notification. It takes the turn of the parked one with the same collapse key, if there is one. Returns its number; nil if
  -- PARKED_MAX are parked. Sets `accepted.level` to the level of the turn.
  function park(id, tail, accepted)
    local old = parked_with_key(accepted.collapse_key)
    if not old and parked >= PARKED_MAX then return nil end
    local no, level = park_no + 1, accepted.level
    if old then
      unpark(old)
      keep_body(old, old.no)
      no, level = old.no, old.level
    end
    accepted.level = level
    park_no, parked, latest = math.max(park_no, no), parked + 1, now
    local score = Waiting.score(no, level)
    redis.call('ZADD', PARKED, score, Waiting.encode(int(no), accepted, 'n' .. string.format('%013.0f', now) .. id .. NO_TAG .. tail))
    redis.call('PEXPIRE', PARKED, META_TTL_MS, 'NX')
    if level ~= 0 then has_options = true end
    if accepted.collapse_key ~= '' then Options.set('p' .. accepted.collapse_key, score) end
    note_expiry('p' .. score, accepted.expires_at)
    return no
  end
end

-- Returns when the parked notification with this number and level will be released, if none is recalled. Without levels it is the last one.
local function release_of_turn(no, level)
  if not has_options then return release_at(parked - 1) end
  return release_at(redis.call('ZCOUNT', PARKED, '-inf', '(' .. Waiting.score(no, level)))
end

-- Retracts a notification that is parked, scheduled or in the log, or with `only` == 'scheduled' none but a scheduled one. Returns the word of
-- retract.lua.
local function retract(id, reason, row_id, only)
  for from = 0, only == 'scheduled' and -1 or parked - 1, CHUNK do
    for _, member in ipairs(redis.call('ZRANGE', PARKED, from, from + CHUNK - 1)) do
      local waiting = Waiting.decode(member)
      if id_of(waiting.row) == id then
        unpark(waiting)
        move_keys(waiting, top, 'r')
        note_release()
        return 'unparked'
      end
    end
  end
  if nearest_at ~= 0 then
    local members = redis.call('ZRANGE', SCHEDULED, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      local waiting = Waiting.decode(members[i])
      if id_of(waiting.row) == id then
        unschedule(waiting, tonumber(members[i + 1]))
        move_keys(waiting, top, 'r')
        return 'unscheduled'
      end
    end
  end
  if only == 'scheduled' then return 'unknown' end
  return retract_row(id, reason, row_id)
end

local expired = 0
if nearest_at ~= 0 and nearest_at <= wall then
  -- Removes a waiting notification that has expired. Returns false if there is none.
  local function expire_waiting(kind, rest)
    local member, at
    if kind == 'p' then member = Waiting.parked_with_score(rest) else member, at = Waiting.scheduled_with_turn(rest) end
    if not member then return false end
    local waiting = Waiting.decode(member)
    if kind == 'p' then unpark(waiting) else unschedule(waiting, at) end
    move_keys(waiting, top, 'r')
    return true
  end

  -- Retracts a notification in the log that has expired. The row has the id of its notification, because one step may append many retractions.
  local function expire_in_log(offset, key)
    local row = row_at(offset or 0)
    if not row or kind_of(row) ~= 'n' or (make_room(false) and offset <= floor) then return false end
    retract_at(offset, row, key, '"expired"', id_of(row))
    return true
  end

  -- Returns what is told of the expiry of a notification, its id and its offset; nil if nothing is told.
  local function data_of(kind, rest)
    local row, offset = nil, 0
    if kind == 'l' then
      offset = tonumber(string.sub(rest, 1, 12))
      row = not Outbox.is_received(offset) and row_at(offset)
    else
      local member
      if kind == 'p' then member = Waiting.parked_with_score(rest) else member = Waiting.scheduled_with_turn(rest) end
      row = member and Waiting.decode(member).row
    end
    if not row or kind_of(row) ~= 'n' then return nil end
    return Outbox.expiry_data(id_of(row), row), id_of(row), offset
  end

  -- Returns the members of EXPIRIES that are due: by time; at one time those in the log first, in its order, then the waiting ones in publish order.
  local function due_expiries()
    local reply, due = redis.call('ZRANGEBYSCORE', EXPIRIES, '-inf', int(wall), 'WITHSCORES'), {}
    for i = 1, #reply, 2 do
      local member = reply[i]
      local kind, no = string.sub(member, 1, 1), nil
      if kind == 'l' then no = tonumber(string.sub(member, 2, 13))
      elseif kind == 'p' then no = tonumber(string.sub(member, 2)) % Waiting.LEVEL_WEIGHT
      else no = tonumber(string.match(member, ':(%d+)$')) end
      due[#due + 1] = { at = tonumber(reply[i + 1]), is_waiting = kind ~= 'l', no = no, member = member }
    end
    table.sort(due, function(one, other)
      if one.at ~= other.at then return one.at < other.at end
      if one.is_waiting ~= other.is_waiting then return other.is_waiting end
      return one.no < other.no
    end)
    return due
  end

  times_changed = true
  for _, due in ipairs(due_expiries()) do
    local member = due.member
    local kind, rest, done = string.sub(member, 1, 1), string.sub(member, 2), nil
    local data, id, offset
    if OUTBOX.TELLS_EXPIRIES then data, id, offset = data_of(kind, rest) end
    if kind == 'l' then
      done = expire_in_log(tonumber(string.sub(rest, 1, 12)), string.sub(rest, 13))
    else
      done = expire_waiting(kind, rest)
    end
    if done then expired = expired + 1 else redis.call('ZREM', EXPIRIES, member) end
    if kind == 'p' and done then note_release() end
    if done and data then Outbox.call('webhook', 'notification.expired', id, offset, '-', data) end
  end
end
