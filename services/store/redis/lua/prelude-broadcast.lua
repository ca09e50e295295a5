-- Begins the scripts of broadcasts. broadcast-step.ts says what each step does. Names of keys below follow the stem of the bucket.
--   bq:<topic>        list of the broadcasts that wait, the one that runs first
--   bc:<broadcast>    hash of FIELDS
--   bp:<broadcast>    set of the members that are in no batch yet
--   bs:<broadcast>    list of the members in batches that were leased
--   bk:<key>:<topic>  the broadcast that an Idempotency-Key started
--   bi                zset of the broadcasts whose hash may exist, all with the score 0
-- In bp and bs, a text that begins with ERASED stands for an erased member.
local now = read_clock()
local queue = stem .. 'bq:' .. topic
local head_before = call('LINDEX', queue, 0)
local index = stem .. 'bi'

local FIELDS = { 'to', 'status', 'members', 'accepted', 'parked', 'rejected', 'startedAt', 'finishedAt', 'next', 'leasedUntil', 'collector', 'isRecalling',
  'endedAt', 'id', 'tail', 'halfLife', 'options', 'startKey', 'erasures' }

local function int(number)
  return string.format('%.0f', number)
end

local function hash_of(broadcast)
  return stem .. 'bc:' .. broadcast
end

local function pending_of(broadcast)
  return stem .. 'bp:' .. broadcast
end

local function sent_of(broadcast)
  return stem .. 'bs:' .. broadcast
end

-- Loads a broadcast. Returns nil if there is none, or it is no longer kept.
local function load(broadcast)
  local values = call('HMGET', hash_of(broadcast), unpack(FIELDS))
  if not values[1] then return nil end
  local state = { broadcast = broadcast }
  for i, name in ipairs(FIELDS) do state[name] = values[i] end
  local ended = tonumber(state.endedAt)
  if ended > 0 and ended + BROADCAST_KEPT_MS <= now then return nil end
  return state
end

-- Changes fields of a broadcast: their names and values in turn.
local function change(state, ...)
  local fields = { ... }
  for i = 1, #fields, 2 do state[fields[i]] = fields[i + 1] end
  call('HSET', hash_of(state.broadcast), ...)
end

-- Returns what is told of a broadcast. The number of members is '' as long as the audience is not complete.
local function told(state)
  return { state.broadcast, state.to, state.status, state.members, state.accepted, state.parked, state.rejected, state.startedAt, state.finishedAt }
end

-- Calls a command on each key that is kept as long as the broadcast.
local function each_kept_key(state, command, ...)
  call(command, hash_of(state.broadcast), ...)
  call(command, sent_of(state.broadcast), ...)
  if state.startKey ~= '' then call(command, state.startKey, ...) end
end

-- Takes a broadcast whose batches are all settled out of its queue.
local function finish(state)
  if state.isRecalling == '0' then change(state, 'status', 'done', 'finishedAt', int(now)) end
  change(state, 'endedAt', int(now), 'collector', '')
  call('LREM', queue, 1, state.broadcast)
  call('UNLINK', pending_of(state.broadcast))
  each_kept_key(state, 'PEXPIRE', BROADCAST_KEPT_MS)
end

-- Leases the next batch of a broadcast. A batch that was leased before has the same members again. Returns nil if there are no more members.
local function lease_batch(state)
  local from, sent = tonumber(state.next), sent_of(state.broadcast)
  local users = call('LRANGE', sent, from, from + BATCH_MAX - 1)
  if #users == 0 and state.isRecalling == '0' then
    users = call('SPOP', pending_of(state.broadcast), BATCH_MAX)
    if #users > 0 then call('RPUSH', sent, unpack(users)) end
  end
  if #users == 0 then return nil end
  change(state, 'leasedUntil', int(now + BATCH_LEASE_MS))
  return { 'batch', state.broadcast, from, state.isRecalling, state.id, state.tail, state.halfLife, state.options, state.startedAt, users }
end

-- Leases the next batch of the first broadcast in the queue, or the collection of its audience to a collector.
local function lease_head(collector)
  while true do
    local broadcast = call('LINDEX', queue, 0)
    if not broadcast then return { 'idle' } end
    local state = load(broadcast)
    local is_leased = state and tonumber(state.leasedUntil) > now
    if not state or state.endedAt ~= '0' then
      call('LPOP', queue)
    elseif state.collector ~= '' then
      if is_leased and state.collector ~= collector then return { 'leased' } end
      change(state, 'collector', collector, 'leasedUntil', int(now + BATCH_LEASE_MS))
      return { 'collecting', broadcast, state.to, state.erasures or '0' }
    elseif is_leased then
      return { 'leased' }
    else
      local batch = lease_batch(state)
      if batch then return batch end
      finish(state)
    end
  end
end

-- Notes the head of the queue in WAITING.
local function save()
  local head = call('LINDEX', queue, 0)
  if head_before and head_before ~= head then call('ZREM', WAITING, head_before) end
  if not head then return end
  local leased_until = tonumber(call('HGET', hash_of(head), 'leasedUntil') or 0)
  call('ZADD', WAITING, leased_until > 0 and int(leased_until) or int(now), head)
end
