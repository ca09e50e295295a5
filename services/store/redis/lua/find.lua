#!lua flags=allow-oom
-- Finds one notification: in the log, parked, scheduled, or folded into a digest.
-- @arg id
-- Returns {} | {'log', epoch, offset, row, state, answer or '', receipt as in Outbox.receipts_of, ...} | {'parked', row, release at} | {'scheduled', row, deliver at}
--         | {'digest', epoch, offset, id8}

local function find()
  for from = 0, parked - 1, CHUNK do
    for i, member in ipairs(redis.call('ZRANGE', PARKED, from, from + CHUNK - 1)) do
      local row = Waiting.decode(member).row
      if id_of(row) == id then return { 'parked', row, release_at(from + i - 1) } end
    end
  end
  if nearest_at ~= 0 then
    local members = redis.call('ZRANGE', SCHEDULED, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      local row = Waiting.decode(members[i]).row
      if id_of(row) == id then return { 'scheduled', row, tonumber(members[i + 1]) } end
    end
  end
  local found, digest
  each_row(top, function(row, offset)
    local kind = kind_of(row)
    if kind == 'n' and id_of(row) == id then
      found = { 'log', epoch, offset, row, states_of({ id })[id] or 'unread', Options.answers_of({ id })[2] or '' }
      for _, receipt in ipairs(Outbox.receipts_of(id, offset)) do found[#found + 1] = receipt end
      return true
    end
    if kind == 'd' and not digest then
      for _, named in ipairs(ids_in(row)) do
        if named == id then digest = { 'digest', epoch, offset, id8_of(row) } end
      end
    end
  end)
  return found or digest or {}
end

local result = find()
save()
return result
