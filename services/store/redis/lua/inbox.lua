#!lua flags=allow-oom
-- Reads one page of the retained notifications, newest first.
-- @arg before_epoch, before_offset  the place before which to read; '' and 0 to read from the newest
-- @arg max_items
-- @arg wanted_states                none given: all
-- Returns {epoch, unread, next | 0, offset, row, state, answer or '', ...} | {} if `before_epoch` is not that of the log
if before_epoch ~= '' and before_epoch ~= epoch then
  save()
  return {}
end
local limit, wanted = tonumber(max_items), nil
if #wanted_states > 0 then
  wanted = {}
  for _, state in ipairs(wanted_states) do wanted[state] = true end
end
local reply, items, more = { epoch, unread, 0 }, 0, false
local last = before_epoch == '' and top or math.min(top, tonumber(before_offset) - 1)
while last > floor and not more do
  local first = math.max(floor + 1, last - CHUNK + 1)
  local rows = redis.call('LRANGE', LOG, first - floor - 1, last - floor - 1)
  local ids = {}
  for i, row in ipairs(rows) do ids[i] = id_of(row) end
  local states = states_of(ids)
  for i = #rows, 1, -1 do
    local state = states[ids[i]] or 'unread'
    if kind_of(rows[i]) == 'n' and (not wanted or wanted[state]) then
      if items == limit then
        more = true
        break
      end
      items = items + 1
      reply[#reply + 1] = first + i - 1
      reply[#reply + 1] = rows[i]
      reply[#reply + 1] = state
      reply[#reply + 1] = Options.answers_of({ ids[i] })[2] or ''
    end
  end
  last = first - 1
end
if more then reply[3] = reply[#reply - 3] end
save()
return reply
