-- Publishes one notification: schedules it, parks it over the rate, or appends it. A repeat with the same key returns the first outcome.
-- @arg id
-- @arg keyed      '0': the id is random; '1': an Idempotency-Key made it; else a broadcast did, which started at this time
-- @arg tail       the row's tail
-- @arg half_life  seconds; 0: none
-- @arg options    '[*<push> <fallback> ]<expires at, or 0> <deliver at, or 0> <actions, joined by commas, or .> <collapse key> <level>';
--                 '=<collapse key>' if there is nothing else; '' for none. For push and fallback see Outbox.add_checks
-- Returns a line: 'accepted <epoch> <offset> <nodes woken> <replayed> <id8>[ <time of the first check>]' | 'parked <release at> <replayed>'
--         | 'scheduled <deliver at> <replayed>' | 'recalled' | 'erased' | 'expired' | 'full <retry after ms>' | 'scheduled-full <retry after ms>' | 'conflict'
local key, body = key_of(id), string.sub(id, 13)
local accepted = { half_life = half_life, level = 0, expires_at = 0, actions = '.', collapse_key = '', push = '.', fallback = '.' }
local deliver_at = 0
if options ~= '' then
  if string.sub(options, 1, 1) == '*' then
    accepted.push, accepted.fallback, options = string.match(options, '^%*([^ ]+) ([^ ]+) (.*)$')
  end
  local expires_at, at, actions, collapse_key, level = split_options(options)
  accepted.level, accepted.expires_at, deliver_at = tonumber(level), tonumber(expires_at), tonumber(at)
  accepted.actions, accepted.collapse_key = actions, collapse_key
end

-- Returns the id that the key made first: from BODIES, or from the row at its place, which is the notification or the digest it was folded
-- into.
local function first_id(kept, place)
  if kept then return key .. string.sub(kept, 2) end
  local row = row_at(place)
  for _, named in ipairs(row and (kind_of(row) == 'd' and ids_in(row) or { id_of(row) }) or {}) do
    if key_of(named) == key then return named end
  end
end

-- Returns the outcome of the first publish with the key.
local function replayed(place)
  local kept = redis.call('HGET', BODIES, key)
  if place < 0 then
    local first, rest = string.match(kept or '', '^s(%d+) (.*)$')
    if first then return rest == body and { 'scheduled', first, 1 } or { 'conflict' } end
    local member = Waiting.parked_with_number(-place)
    if not member then return { 'recalled' } end
    local first_parked = Waiting.decode(member)
    if (kept and string.sub(kept, 2) or string.sub(id_of(first_parked.row), 13)) ~= body then return { 'conflict' } end
    return { 'parked', release_at(redis.call('ZRANK', PARKED, member)), 1 }
  end
  if first_id(kept, place) ~= id then return { 'conflict' } end
  if kept and string.sub(kept, 1, 1) == 'r' then return { 'recalled' } end
  return { 'accepted', epoch, place, 0, 1, id8_at(place) }
end

-- Schedules the notification. It takes the turn of the scheduled one with the same collapse key, if there is one. One whose key SCHEDULED was
-- lost is none.
local function schedule()
  local turn = accepted.collapse_key ~= '' and has_options and redis.call('HGET', OPTIONS, 's' .. accepted.collapse_key)
  local member, at
  if turn then member, at = Waiting.scheduled_with_turn(turn) end
  if not member and redis.call('ZCARD', SCHEDULED) >= SCHEDULED_MAX then
    local first = redis.call('ZRANGE', SCHEDULED, 0, 0, 'WITHSCORES')[2]
    return { 'scheduled-full', int(math.max(0, tonumber(first or wall) - wall)) }
  end
  local no = park_no + 1
  if member then
    local old = Waiting.decode(member)
    unschedule(old, at)
    no = old.no
  end
  park_no, latest, times_changed = math.max(park_no, no), now, true
  local row = 'n' .. string.format('%013.0f', now) .. id .. NO_TAG .. tail
  redis.call('ZADD', SCHEDULED, int(deliver_at), Waiting.encode(string.format('%012.0f', no), accepted, row))
  if accepted.collapse_key ~= '' then Options.set('s' .. accepted.collapse_key, Waiting.scheduled_turn(deliver_at, no)) end
  note_expiry('s' .. Waiting.scheduled_turn(deliver_at, no), accepted.expires_at)
  if keyed ~= '0' then
    remember(key, -no)
    redis.call('HSET', BODIES, key, 's' .. int(deliver_at) .. ' ' .. body)
    for _, name in ipairs({ KEYED, BODIES }) do redis.call('PEXPIRE', name, 2 * META_TTL_MS) end
  end
  return { 'scheduled', int(deliver_at), 0 }
end

local function publish()
  if deliver_at > wall then return schedule() end
  if must_park() then
    local no = park(id, tail, accepted)
    if not no then return { 'full', release_at(parked) - wall } end
    if keyed ~= '0' then remember(key, -no) end
    note_release()
    return { 'parked', release_of_turn(no, accepted.level), 0 }
  end
  make_room(true)
  local offset = top + 1
  if keyed ~= '0' then remember(key, offset) end
  local woken, tag, check_at = append_notification(id, tail, accepted)
  return { 'accepted', epoch, offset, woken, 0, tag, check_at and int(check_at) }
end

local place = keyed ~= '0' and epoch ~= '' and redis.call('ZSCORE', KEYED, key)
local result
if #keyed > 1 and tonumber(meta[18] or 0) >= tonumber(keyed) then
  result = { 'erased' }
elseif place then
  result = replayed(tonumber(place))
else
  if accepted.expires_at > 0 and accepted.expires_at <= wall then
    result = { 'expired' }
  else
    begin()
    result = publish()
  end
end
save()
return table.concat(result, ' ')
