-- Moves notifications between the schedule, the parked ones and the log, and takes them back. Loading ends here: what has expired is removed.

local function key_of(id)
  return string.sub(id, 1, 12)
end

local move_keys
do
  -- Moves an idempotency key, and the rest of the id that it made, which BODIES keeps if no row does.
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

  -- Moves the keys that stand at the turn of a waiting notification. Only if it has a collapse key, further ones than its own may.
  function move_keys(waiting, place, kind)
    local id = id_of(waiting.row)
    local turn = int(-waiting.no)
    if waiting.collapse_key ~= '' then
      for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYED, turn, turn)) do move_key(key, place, kind, id) end
      return
    end
    local held = redis.call('ZSCORE', KEYED, key_of(id))
    if held and tonumber(held) == -waiting.no then move_key(key_of(id), place, kind, id) end
  end
end

-- Removes what is noted of a parked notification outside PARKED.
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
  cancel_expiry('s' .. Waiting.turn(at, waiting.no), waiting.expires_at)
end

-- Empties the row of a notification and removes what is kept of it.
local function remove(id, offset, row, options)
  if counts_as_unread(states_of({ id })[id]) then unread = unread - 1 end
  redis.call('HDEL', STATES, id)
  redis.call('LSET', LOG, offset - floor - 1, rewritten(row, 'x', ''))
  changes = changes + 1
  if options then Options.drop(id, options) end
end

-- Looks for a notification in the log. Returns its offset, its row and its options; 'folded' in their place if a digest names it.
local function look_up(id)
  local options = Options.of(id)
  if options then return options.offset, row_at(options.offset), options end
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
  return offset, found, not offset and folded and 'folded' or nil
end

-- Takes a notification out of the log; an `r` row with the id `row_id` tells the devices. `reason` is JSON.
local function retract_row(id, reason, row_id)
  local offset, row, options = look_up(id)
  if offset and make_room(false) then offset, row, options = look_up(id) end
  if not offset then return options or 'unknown' end
  remove(id, offset, row, options)
  append('r', row_id, retraction_tail(offset, id, reason, unread, options and options.collapse_key or ''))
  return 'retracted'
end

-- Appends a notification for which there is room. One with the same collapse key in the log gives way to it. Returns how many nodes were woken.
local function append_notification(id, tail, waiting)
  local replaced = waiting.collapse_key ~= '' and optioned and redis.call('HGET', OPTIONS, 'l' .. waiting.collapse_key)
  if replaced then
    local options = Options.of(replaced)
    remove(replaced, options.offset, row_at(options.offset), options)
    tail = '"replaces":"' .. replaced .. '",' .. tail
  end
  local woken = append('n', id, tail)
  Options.keep(id, top, waiting)
  return woken
end

local function must_park()
  return parked > 0 or free_slots() == 0
end

-- Returns the parked notification whose turn the one with this collapse key takes.
local function turn_of(collapse_key)
  local score = collapse_key ~= '' and optioned and redis.call('HGET', OPTIONS, 'p' .. collapse_key)
  return score and Waiting.read(Waiting.parked_at(score)) or nil
end

local park
do
  -- Keeps the rest of the id that an idempotency key made, of a waiting notification that gives its turn to another one.
  local function keep_body(waiting, turn)
    local id = id_of(waiting.row)
    local held = redis.call('ZSCORE', KEYED, key_of(id))
    if held and tonumber(held) == -turn and redis.call('HEXISTS', BODIES, key_of(id)) == 0 then
      redis.call('HSET', BODIES, key_of(id), 'p' .. string.sub(id, 13))
      redis.call('PEXPIRE', BODIES, META_TTL_MS, 'NX')
    end
  end

  -- Parks a notification, or gives it the turn of the parked one with its collapse key. Returns its turn; nil if no more may be parked.
  function park(id, tail, waiting)
    local old = turn_of(waiting.collapse_key)
    if not old and parked >= PARKED_MAX then return nil end
    local no, level = park_no + 1, waiting.level
    if old then
      unpark(old)
      keep_body(old, old.no)
      no, level = old.no, old.level
    end
    waiting.level = level
    park_no, parked, latest = math.max(park_no, no), parked + 1, now
    local score = Waiting.score(no, level)
    redis.call('ZADD', PARKED, score, Waiting.member(int(no), waiting, 'n' .. string.format('%013.0f', now) .. id .. NO_TAG .. tail))
    redis.call('PEXPIRE', PARKED, META_TTL_MS, 'NX')
    if level ~= 0 then optioned = true end
    if waiting.collapse_key ~= '' then Options.note('p' .. waiting.collapse_key, score) end
    note_expiry('p' .. score, waiting.expires_at)
    return no
  end
end

-- Returns when a parked notification will be released, if nothing is recalled. Without options and levels it is the last one.
local function release_of(no, level)
  if not optioned then return release_at(parked - 1) end
  return release_at(redis.call('ZCOUNT', PARKED, '-inf', '(' .. Waiting.score(no, level)))
end

-- Takes a notification back, wherever it is. Returns the word of retract.lua.
local function retract(id, reason, row_id)
  for from = 0, parked - 1, CHUNK do
    for _, member in ipairs(redis.call('ZRANGE', PARKED, from, from + CHUNK - 1)) do
      local waiting = Waiting.read(member)
      if id_of(waiting.row) == id then
        unpark(waiting)
        move_keys(waiting, top, 'r')
        schedule()
        return 'unparked'
      end
    end
  end
  if due_at ~= 0 then
    local members = redis.call('ZRANGE', SCHEDULED, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      local waiting = Waiting.read(members[i])
      if id_of(waiting.row) == id then
        unschedule(waiting, tonumber(members[i + 1]))
        move_keys(waiting, top, 'r')
        return 'unscheduled'
      end
    end
  end
  return retract_row(id, reason, row_id)
end

local expired = 0
if due_at ~= 0 and due_at <= wall then
  -- Takes a waiting notification that has expired off the parked or the scheduled ones. Returns false if it is not there.
  local function expire_waiting(kind, rest)
    local member, at
    if kind == 'p' then member = Waiting.parked_at(rest) else member, at = Waiting.scheduled_at(rest) end
    if not member then return false end
    local waiting = Waiting.read(member)
    if kind == 'p' then unpark(waiting) else unschedule(waiting, at) end
    move_keys(waiting, top, 'r')
    return true
  end

  times_changed = true
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', EXPIRIES, '-inf', int(wall), 'LIMIT', 0, EXPIRE_BATCH)) do
    local kind, rest, done = string.sub(member, 1, 1), string.sub(member, 2), nil
    -- The row of an expiry has the id of its notification: a step may write many.
    if kind == 'l' then done = retract_row(rest, '"expired"', rest) == 'retracted' else done = expire_waiting(kind, rest) end
    if done then expired = expired + 1 else redis.call('ZREM', EXPIRIES, member) end
    if kind == 'p' and done then schedule() end
  end
end
