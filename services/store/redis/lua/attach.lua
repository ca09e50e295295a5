#!lua flags=allow-oom
-- Registers the node for the user and reads the backlog from a position, in one step. A device without a cursor gets one at that position,
-- unless there is a gap, or `received`. Without a node the script only reads.
-- @key KICKS  as in disconnect.lua
-- @arg node         '' to read only
-- @arg count        number of connections of the user that the node has
-- @arg connections  JSON of those
-- @arg issued_at    when the token was issued, Unix milliseconds
-- @arg device
-- @arg start        where to start: position | earliest | latest | device | unknown
-- @arg start_epoch, start_offset, start_id8  the position, if `start` says so
-- @arg seen_epoch, seen_offset  the newest row that this node got from the store; '' and 0 for none
-- @arg max_rows
-- @arg max_bytes    the rows end with the first that brings their sum to this many bytes; '' for no bound
-- @arg newcomer     the new one of the node's connections; '' for none
-- @arg received     '<epoch> <offset> <id8> ' of the cursor for a device without one, also if there is a gap; '' for none
-- Returns {'revoked'} | {'limit'}
--         | {'attached', counter, epoch, top, top id8, start offset, start id8, resumed, unread, parked, rows, states, gap, displaced, kicks,
--            milliseconds until the oldest row expires, or 0, {id, answer, ...}, unseen},
--         displaced: connections of this node that were closed for the newcomer; kicks: {connection of the node that was told to close, reason, ...};
--         states: {id, state, ...}; gap: {} or {reason, from, to, count}; start: the position given if there is no gap

-- As isRevoked in revocation.ts: a time of whole seconds is compared by seconds.
local function is_revoked(issued)
  if revoked == 0 then return false end
  if issued % 1000 == 0 then return issued < revoked - revoked % 1000 end
  return issued <= revoked
end

if node ~= '' and is_revoked(tonumber(issued_at)) then
  save()
  return { 'revoked' }
end
local total, others = tonumber(count), {}
if node ~= '' and MAX_CONNECTIONS > 0 then
  local registered = redis.call('HGETALL', REGISTRY)
  for i = 1, #registered, 2 do
    if registered[i] ~= node then
      if tonumber(redis.call('HGET', COUNTERS, registered[i]) or 0) < 0 then
        redis.call('HDEL', REGISTRY, registered[i])
      else
        total = total + tonumber(string.match(registered[i + 1], '^%d+'))
        others[registered[i]] = registered[i + 1]
      end
    end
  end
end

-- Returns the `over` oldest connections of the newcomer's device; nil if the device has fewer. As services/store/admit.ts.
local function oldest_of_device(over)
  local own, device, candidates = cjson.decode(connections), nil, {}
  for _, connection in ipairs(own) do
    if connection.connectionId == newcomer then device = connection.deviceId end
  end
  local function add(connection, of)
    if connection.deviceId ~= device then return end
    candidates[#candidates + 1] = { id = connection.connectionId, at = connection.connectedAt, node = of, order = #candidates }
  end
  for of, value in pairs(others) do
    for _, connection in ipairs(cjson.decode(string.match(value, '^%d+ (.*)$'))) do add(connection, of) end
  end
  for _, connection in ipairs(own) do
    if connection.connectionId == newcomer then break end
    add(connection, node)
  end
  if not device or #candidates < over then return nil end
  table.sort(candidates, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.order < b.order
  end)
  return { unpack(candidates, 1, over) }
end

-- Removes a connection of another node from the registry, and tells that node to close it. A node that has died, but is not marked dead
-- yet, could not do this itself.
local function displace(of, id)
  local kept = {}
  for _, connection in ipairs(cjson.decode(string.match(others[of], '^%d+ (.*)$'))) do
    if connection.connectionId ~= id then kept[#kept + 1] = connection end
  end
  others[of] = #kept .. ' ' .. (#kept == 0 and '[]' or cjson.encode(kept))
  if #kept == 0 then redis.call('HDEL', REGISTRY, of) else redis.call('HSET', REGISTRY, of, others[of]) end
  tell(of, REGISTRY, COUNTERS, 'k', ' 2 ' .. id .. ' ' .. #user .. ' ' .. user, '')
end

local displaced = {}
if node ~= '' and MAX_CONNECTIONS > 0 and total > MAX_CONNECTIONS then
  local oldest = oldest_of_device(total - MAX_CONNECTIONS)
  if not oldest then
    save()
    return { 'limit' }
  end
  for _, candidate in ipairs(oldest) do
    if candidate.node == node then displaced[#displaced + 1] = candidate.id else displace(candidate.node, candidate.id) end
  end
end

begin()
-- The invariant *no offset twice* (docs/explanation/store.md): the rows up to the seen one were lost, and their offsets stay used.
local seen = tonumber(seen_offset)
if seen_epoch == epoch and seen > top then
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
  if count == '0' then
    redis.call('HDEL', REGISTRY, node)
  else
    redis.call('HSET', REGISTRY, node, count .. ' ' .. connections)
    redis.call('PEXPIRE', REGISTRY, REGISTRY_TTL_MS)
  end
end

-- Orders to close connections of this node. Their messages may have been lost, or have not arrived yet.
local kicks = {}
-- Mostly neither key exists, and one command tells.
local existing = node == '' and 0 or redis.call('EXISTS', KICKS, STATES)
if node ~= '' and existing == 0 then Unread.exists = false end
if existing > 0 then
  local told = redis.call('HGETALL', KICKS)
  Unread.exists = #told == 0 or existing == 2
  for i = 1, #told, 2 do
    if string.find(connections, '"connectionId":"' .. told[i] .. '"', 1, true) then
      kicks[#kicks + 1] = told[i]
      kicks[#kicks + 1] = told[i + 1]
    end
  end
end

local function event_id(of, offset, id8)
  if of == '' then return '' end
  return of .. '.' .. int(offset) .. (id8 == '' and '' or '.' .. id8)
end

-- Returns whether the tag of a position is the one in this log. The tag of the row that was trimmed last is not kept: the row after it
-- shows whether its own tag follows from the given one.
local function is_of_this_log(offset, id8)
  if offset == 0 or id8 == '' then return true end
  local known = id8_at(offset)
  if known ~= '' then return known == id8 end
  local next_row = row_at(offset + 1)
  return tag_after(id8, string.sub(next_row, 2, 34)) == id8_of(next_row)
end

-- Returns the offset to read from, and a gap if the log cannot be continued from the position.
local function continue(of, offset, id8)
  if of ~= epoch then return floor, { 'epoch', event_id(of, offset, id8), event_id(epoch, floor, ''), 0 } end
  if offset > top then return floor, { 'ahead', event_id(epoch, top + 1, ''), event_id(of, offset, id8), offset - top } end
  if offset < floor then return floor, { 'trimmed', event_id(epoch, offset + 1, ''), event_id(epoch, floor, ''), floor - offset } end
  if not is_of_this_log(offset, id8) then
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
  from, gap = continue(start_epoch, tonumber(start_offset), start_id8)
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

-- With a bound in bytes, 32 rows are read at a time: those beyond the bound would be copied for nothing.
local rows, bytes = {}, 0
local last, bound = math.min(top, from + tonumber(max_rows)), tonumber(max_bytes) or math.huge
local ahead = bound == math.huge and last - from or 32
while from + #rows < last and bytes < bound do
  local first = from + #rows
  for _, row in ipairs(redis.call('LRANGE', LOG, first - floor, math.min(first + ahead, last) - floor - 1)) do
    if bytes >= bound then break end
    rows[#rows + 1] = row
    bytes = bytes + #row
  end
end
local states = {}
if #rows > 0 and Unread.has_states() then
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
local answers = {}
if has_options then
  local ids = {}
  for _, row in ipairs(rows) do
    if kind_of(row) == 'n' then ids[#ids + 1] = id_of(row) end
  end
  answers = Options.answers_of(ids)
end
local from_id8 = id8_at(from)
if node ~= '' and (received ~= '' or not gap) and redis.call('HEXISTS', CURSORS, device) == 0 then
  if received ~= '' then set_cursor(device, cursor_of(received)) else set_cursor(device, epoch, from, from_id8) end
end
local expires_in = top > floor and oldest + RETENTION_MS - aged or 0
local reply = {
  'attached', counter, epoch, top, id8_at(top), from, from_id8, resumed, unread, parked, rows, states, gap or {}, displaced, kicks, expires_in, answers,
  Unread.unseen()
}
save()
return reply
