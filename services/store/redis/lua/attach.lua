#!lua flags=allow-oom
-- Registers the node for the user and reads the backlog from where the cursor is, in one step. Without a node: only reads.
-- KEYS[1..9] as in prelude.lua
-- ARGV[1..3] as in prelude.lua
-- ARGV[4] node; '' to read only
-- ARGV[5] how many connections the node has of the user
-- ARGV[6] JSON of those
-- ARGV[7] when the token was issued, Unix milliseconds
-- ARGV[8] device
-- ARGV[9] where to start: position | earliest | latest | device | unknown
-- ARGV[10..12] epoch, offset and id8 of a position
-- ARGV[13] ARGV[14] epoch and offset of the newest row this node got from the store; '' and 0 for none
-- ARGV[15] rows to return at most
-- ARGV[16] the rows end with the first that brings their sum to this many bytes; '' for no bound
-- Returns {'revoked'} | {'limit'}
--         | {'attached', counter, epoch, top, top id8, start offset, start id8, resumed, unread, parked, rows, states, gap},
--         states: {id, state, ...}; gap: {} or {reason, from, to, count}; start: that of ARGV[10..12] when there is no gap
local node, device, start = ARGV[4], ARGV[8], ARGV[9]

if node ~= '' and revoked > 0 and tonumber(ARGV[7]) <= revoked then
  save()
  return { 'revoked' }
end
if node ~= '' and MAX_CONNECTIONS > 0 then
  local count = tonumber(ARGV[5])
  local registered = redis.call('HGETALL', REGISTRY)
  for i = 1, #registered, 2 do
    if registered[i] ~= node then
      if tonumber(redis.call('HGET', COUNTERS, registered[i]) or 0) < 0 then
        redis.call('HDEL', REGISTRY, registered[i])
      else
        count = count + tonumber(string.match(registered[i + 1], '^%d+'))
      end
    end
  end
  if count > MAX_CONNECTIONS then
    save()
    return { 'limit' }
  end
end

begin()
local seen = tonumber(ARGV[14])
if ARGV[13] == epoch and seen > top then
  if seen - top > MAX_FENCE then
    reset()
  else
    while top < seen do append('~', LOST_ID, '') end
  end
end

local counter = 0
if node ~= '' then
  counter = redis.call('HINCRBY', COUNTERS, node, 1)
  if counter < 2 then
    counter = 2
    redis.call('HSET', COUNTERS, node, 2)
  end
  if ARGV[5] == '0' then
    redis.call('HDEL', REGISTRY, node)
  else
    redis.call('HSET', REGISTRY, node, ARGV[5] .. ' ' .. ARGV[6])
    redis.call('PEXPIRE', REGISTRY, REGISTRY_TTL_MS)
  end
end

local function event_id(of, offset, id8)
  if of == '' then return '' end
  return of .. '.' .. int(offset) .. (id8 == '' and '' or '.' .. id8)
end

-- Where to read from, and the gap if the position cannot be continued.
local function continue(of, offset, id8)
  if of ~= epoch then return floor, { 'epoch', event_id(of, offset, id8), event_id(epoch, floor, ''), 0 } end
  if offset > top then return floor, { 'ahead', event_id(epoch, top + 1, ''), event_id(of, offset, id8), offset - top } end
  if offset < floor then return floor, { 'trimmed', event_id(epoch, offset + 1, ''), event_id(epoch, floor, ''), floor - offset } end
  local row = id8 ~= '' and row_at(offset)
  if row and string.sub(row, 15, 22) ~= id8 then
    return floor, { 'fork', event_id(of, offset, id8), event_id(epoch, top, ''), 0 }
  end
  return offset, nil
end

local function cursor_of(text)
  local of, offset, id8 = string.match(text, '^([^ ]*) (%d+) ([^ ]*) ')
  return of, tonumber(offset), id8
end

local from, gap, resumed = floor, nil, 0
if start == 'position' then
  resumed = 1
  from, gap = continue(ARGV[10], tonumber(ARGV[11]), ARGV[12])
elseif start == 'latest' then
  from = top
elseif start == 'unknown' then
  resumed = 1
  gap = { 'unknown_id', '', event_id(epoch, floor, ''), 0 }
elseif start == 'device' then
  local cursor = redis.call('HGET', CURSORS, device)
  if cursor then
    resumed = 1
    from, gap = continue(cursor_of(cursor))
  else
    for _, other in ipairs(redis.call('HVALS', CURSORS)) do
      local of, offset = cursor_of(other)
      if of == epoch and offset <= top and offset > from then from = offset end
    end
  end
end

-- Long rows are read a few at a time: those over the bound would be copied out of the list for nothing.
local READ_AHEAD = 32
local rows, bytes = {}, 0
local last, max_bytes = math.min(top, from + tonumber(ARGV[15])), tonumber(ARGV[16]) or math.huge
local ahead = max_bytes == math.huge and last - from or READ_AHEAD
while from + #rows < last and bytes < max_bytes do
  local first = from + #rows
  for _, row in ipairs(redis.call('LRANGE', LOG, first - floor, math.min(first + ahead, last) - floor - 1)) do
    if bytes >= max_bytes then break end
    rows[#rows + 1] = row
    bytes = bytes + #row
  end
end
local states = {}
if #rows > 0 and redis.call('EXISTS', STATES) == 1 then
  local ids, listed = {}, {}
  local function add(id)
    if listed[id] then return end
    listed[id] = true
    ids[#ids + 1] = id
  end
  for _, row in ipairs(rows) do
    local kind = kind_of(row)
    if kind == 'n' then
      add(id_of(row))
    elseif kind == 's' then
      for _, id in ipairs(ids_in(row)) do add(id) end
    end
  end
  local found = states_of(ids)
  for _, id in ipairs(ids) do
    if found[id] then
      states[#states + 1] = id
      states[#states + 1] = found[id]
    end
  end
end
local reply = { 'attached', counter, epoch, top, id8_at(top), from, id8_at(from), resumed, unread, parked, rows, states, gap or {} }
save()
return reply
