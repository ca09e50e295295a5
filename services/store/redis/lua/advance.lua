#!lua flags=allow-oom
-- Advances a user: publishes scheduled notifications by their time, then moves parked notifications to the log, in the order of
-- their release and as far as the rate has room. Folds those that are many half-lives old into digests. Expiries were removed by loading.
-- Returns {released, folded, delivered, expired, left, next at}
local queue, taken = {}, 0

-- Returns the parked notification at a place behind those taken; 1 is the next. Returns nil past the last.
local function peek(place)
  local index = taken + place
  if index > #queue and #queue < taken + parked then
    local members = redis.call('ZRANGE', PARKED, #queue, #queue + CHUNK - 1)
    for _, member in ipairs(members) do queue[#queue + 1] = Waiting.read(member) end
  end
  return queue[index]
end

-- Takes a notification off the queue. Its idempotency keys follow it to the next offset.
local function leave(waiting)
  forget_parked(waiting)
  move_keys(waiting, top + 1, 'l')
  queue[taken + 1] = false
  taken, parked = taken + 1, parked - 1
end

local function is_worthless(waiting)
  local half_life = tonumber(waiting.half_life)
  return half_life ~= 0 and aged - time_of(waiting.row) > FOLD_AFTER_HALF_LIVES * half_life * 1000
end

-- Publishes the notification at the head of the schedule as if now; false if it must wait for room among the parked.
local function deliver(member, at)
  local waiting = Waiting.read(member)
  local is_full = parked >= PARKED_MAX and must_park() and not turn_of(waiting.collapse_key)
  if is_full then return false end
  unschedule(waiting, at)
  local id, tail, from = id_of(waiting.row), tail_of(waiting.row), { no = waiting.no, row = waiting.row, collapse_key = waiting.collapse_key }
  if must_park() then
    local no = park(id, tail, waiting)
    move_keys(from, -no, 'p')
    schedule()
  else
    make_room(true)
    move_keys(from, top + 1, 'l')
    append_notification(id, tail, waiting)
  end
  return true
end

local delivered = 0
if due_at ~= 0 and due_at <= wall then
  while delivered < DELIVER_BATCH do
    local next_one = redis.call('ZRANGEBYSCORE', SCHEDULED, '-inf', int(wall), 'WITHSCORES', 'LIMIT', 0, 1)
    if not next_one[1] or not deliver(next_one[1], tonumber(next_one[2])) then break end
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
      leave(waiting)
      waiting = peek(1)
    end
    append('d', ids[1], digest_tail(ids, unread))
    folded = folded + #ids
  else
    leave(waiting)
    append_notification(id_of(waiting.row), tail_of(waiting.row), waiting)
  end
  released = released + 1
end
if taken > 0 then redis.call('ZREMRANGEBYRANK', PARKED, 0, taken - 1) end
schedule()
save()

-- A delivery that waits for room among the parked is next when one of them leaves.
local function next_time()
  local release = parked == 0 and 0 or release_at(0)
  local time = due_at
  if time ~= 0 and time <= wall and parked >= PARKED_MAX then
    local expiry = redis.call('ZRANGE', EXPIRIES, 0, 0, 'WITHSCORES')[2]
    local delivery = redis.call('ZRANGEBYSCORE', SCHEDULED, '(' .. int(wall), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    time = math.min(tonumber(expiry or delivery or 0), tonumber(delivery or expiry or 0))
  end
  return release > 0 and time > 0 and math.min(release, time) or release + time
end

local scheduled = due_at == 0 and 0 or redis.call('ZCARD', SCHEDULED)
return { released, folded, delivered, expired, parked + scheduled, next_time() }
