#!lua flags=allow-oom
-- Reads one page of the retained notifications, newest first.
-- @arg before_epoch, before_offset  the place before which to read; '' and 0 to read from the newest
-- @arg max_items
-- @arg is_counted                   '1' to count the notifications in all pages too
-- @arg wanted_states                joined by commas; '' for all
-- @arg wanted_types                 what the JSON of a wanted type begins with; none given: all types
-- Returns {epoch, unread, unseen, count | -1, next | 0, offset, row, state, answer or '', ...} | {} if `before_epoch` is not that of the log
if before_epoch ~= '' and before_epoch ~= epoch then
  save()
  return {}
end
local limit, wanted = tonumber(max_items), nil
if wanted_states ~= '' then
  wanted = {}
  for state in string.gmatch(wanted_states, '[^,]+') do wanted[state] = true end
end

-- Returns whether the type of a notification is wanted. The type comes before all text of the publisher.
local function has_wanted_type(row)
  if #wanted_types == 0 then return true end
  local _, before = string.find(row, '"type":"', 43, true)
  for _, beginning in ipairs(wanted_types) do
    if string.sub(row, before + 1, before + #beginning) == beginning then return true end
  end
  return false
end

local function is_wanted(row, state)
  return kind_of(row) == 'n' and (not wanted or wanted[state]) and has_wanted_type(row)
end

local reply, items, more = { epoch, unread, Unread.unseen(), -1, 0 }, 0, false
local page_start = before_epoch == '' and top or math.min(top, tonumber(before_offset) - 1)
local count = 0
local last = is_counted == '1' and top or page_start
while last > floor and (not more or is_counted == '1') do
  local first = math.max(floor + 1, last - CHUNK + 1)
  local rows = redis.call('LRANGE', LOG, first - floor - 1, last - floor - 1)
  local ids = {}
  for i, row in ipairs(rows) do ids[i] = id_of(row) end
  local states = states_of(ids)
  for i = #rows, 1, -1 do
    local state, offset = states[ids[i]] or 'unread', first + i - 1
    if is_wanted(rows[i], state) then
      count = count + 1
      if offset <= page_start and items == limit then
        more = true
        if is_counted ~= '1' then break end
      elseif offset <= page_start then
        items = items + 1
        reply[#reply + 1] = offset
        reply[#reply + 1] = rows[i]
        reply[#reply + 1] = state
        reply[#reply + 1] = Options.answers_of({ ids[i] })[2] or ''
      end
    end
  end
  last = first - 1
end
if is_counted == '1' then reply[4] = count end
if more then reply[5] = reply[#reply - 3] end
save()
return reply
