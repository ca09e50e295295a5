#!lua flags=allow-oom
-- Advances a user: delivers the scheduled notifications that are due, releases parked ones within the rate, then carries out the checks that are
-- due. Parked notifications that are many half-lives old are folded into digests. Loading has removed the expired ones before.
-- Returns {{released, folded, delivered, expired, checked, called, dropped, still waiting, next at}, {lane of a call, ...}}

-- Parked notifications read so far, in order of release, and how many of them were taken.
local loaded, taken = {}, 0

-- Returns the parked notification at a place behind those taken; 1 is the next. Returns nil past the last.
local function peek(place)
  local index = taken + place
  if index > #loaded and #loaded < taken + parked then
    local members = redis.call('ZRANGE', PARKED, #loaded, #loaded + CHUNK - 1)
    for _, member in ipairs(members) do loaded[#loaded + 1] = Waiting.decode(member) end
  end
  return loaded[index]
end

-- Takes the next parked notification, which becomes a row at the next offset.
local function take(waiting)
  forget_parked(waiting)
  move_keys(waiting, top + 1, 'l')
  loaded[taken + 1] = false
  taken, parked = taken + 1, parked - 1
end

local function is_worthless(waiting)
  local half_life = tonumber(waiting.half_life)
  return half_life ~= 0 and aged - time_of(waiting.row) > FOLD_AFTER_HALF_LIVES * half_life * 1000
end

-- Publishes the next scheduled notification as if now. Returns false if it must be parked and PARKED_MAX are parked.
local function deliver(member, at)
  local waiting = Waiting.decode(member)
  local is_full = parked >= PARKED_MAX and must_park() and not parked_with_key(waiting.collapse_key)
  if is_full then return false end
  unschedule(waiting, at)
  local id, tail = id_of(waiting.row), tail_of(waiting.row)
  if must_park() then
    local no = park(id, tail, waiting)
    move_keys(waiting, -no, 'p')
    note_release()
  else
    make_room(true)
    move_keys(waiting, top + 1, 'l')
    append_notification(id, tail, waiting)
  end
  return true
end

local delivered = 0
if nearest_at ~= 0 and nearest_at <= wall then
  while delivered < DELIVER_BATCH do
    local next_scheduled = redis.call('ZRANGEBYSCORE', SCHEDULED, '-inf', int(wall), 'WITHSCORES', 'LIMIT', 0, 1)
    if not next_scheduled[1] or not deliver(next_scheduled[1], tonumber(next_scheduled[2])) then break end
    delivered = delivered + 1
  end
end

local released, folded = 0, 0
while parked > 0 and free_slots() > 0 and released < RELEASE_BATCH do
  local waiting = peek(1)
  if not waiting then
    parked = 0
    break
  end
  make_room(true)
  if is_worthless(waiting) then
    local ids = {}
    while waiting and is_worthless(waiting) do
      ids[#ids + 1] = id_of(waiting.row)
      take(waiting)
      waiting = peek(1)
    end
    append('d', ids[1], digest_tail(ids, Unread.counts()))
    folded = folded + #ids
  else
    take(waiting)
    append_notification(id_of(waiting.row), tail_of(waiting.row), waiting)
  end
  released = released + 1
end
if taken > 0 then redis.call('ZREMRANGEBYRANK', PARKED, 0, taken - 1) end

-- Carries out the check of the user's connections.
local function check_presence(kind, at)
  if not OUTBOX.GRACE_MS then return end
  if Outbox.is_connected() then return Outbox.watch('w', wall + OUTBOX.PRESENCE_MS) end
  local ends_at = kind == 'l' and at or at - OUTBOX.PRESENCE_MS + OUTBOX.GRACE_MS
  if ends_at > wall then return Outbox.watch('l', ends_at) end
  if OUTBOX.TELLS_OFFLINE then Outbox.call('webhook', 'user.offline', '-', 0, '-', '{"at":' .. int(wall) .. '}') end
end

-- Carries out a check: makes the calls if nobody has looked at the notification. One that is not in the log has left it by a node of an earlier
-- version, which knows no checks.
local function check(member, at)
  if Outbox.is_of_presence(member) then return check_presence(string.sub(member, 1, 1), at) end
  local kind, unless, offset = string.sub(member, 1, 1), string.sub(member, 2, 2), tonumber(string.sub(member, 3))
  local row = row_at(offset)
  if not row or kind_of(row) ~= 'n' then return end
  local id = id_of(row)
  if Outbox.is_looked_at(id, offset, unless) then return end
  if kind == 'f' then return Outbox.call('webhook', 'notification.fallback', id, offset, unless, '') end
  local devices, lanes = {}, {}
  local subscriptions = Outbox.mode == '2' and redis.call('HGETALL', Outbox.key(OUTBOX.SUBSCRIPTIONS)) or {}
  for i = 1, #subscriptions, 2 do
    devices[#devices + 1] = subscriptions[i]
    lanes[subscriptions[i]] = string.match(subscriptions[i + 1], '^[^ ]+')
  end
  table.sort(devices, is_before)
  for _, device in ipairs(devices) do Outbox.call(lanes[device], 'push', id, offset, unless, device) end
end

local checked = 0
if Outbox.mode ~= '0' then
  local checks = Outbox.key(OUTBOX.CHECKS)
  local due = redis.call('ZRANGEBYSCORE', checks, '-inf', int(wall), 'WITHSCORES', 'LIMIT', 0, CHECK_BATCH)
  for i = 1, #due, 2 do
    redis.call('ZREM', checks, due[i])
    check(due[i], tonumber(due[i + 1]))
    checked, times_changed, Outbox.is_less = checked + 1, true, true
  end
end
note_release()
save()

-- Returns when the next release, delivery, expiry or check is due; 0 if there is none. A delivery that waits for room among the parked is next when
-- one of them is released. The check of the connections of an online user is left to the sweeps.
local function next_time()
  local release = parked == 0 and 0 or release_at(0)
  local time = nearest_at
  local is_full = time ~= 0 and time <= wall and parked >= PARKED_MAX
  if is_full or Outbox.presence() == 'w' then
    local expiry = redis.call('ZRANGE', EXPIRIES, 0, 0, 'WITHSCORES')[2]
    local delivery = redis.call('ZRANGEBYSCORE', SCHEDULED, is_full and '(' .. int(wall) or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    local nearest = math.min(tonumber(expiry) or math.huge, tonumber(delivery) or math.huge, Outbox.next_check(true) or math.huge)
    time = nearest == math.huge and 0 or nearest
  end
  return release > 0 and time > 0 and math.min(release, time) or release + time
end

local scheduled = nearest_at == 0 and 0 or redis.call('ZCARD', SCHEDULED)
local counts = { released, folded, delivered, expired, checked, Outbox.called, Outbox.dropped, parked + scheduled, next_time() }
return { counts, Outbox.lane_names() }
