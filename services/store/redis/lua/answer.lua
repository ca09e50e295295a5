#!lua flags=allow-oom
-- Answers a notification. The first answer wins: it marks the notification as read, cancels its expiry, and appends an `a` row.
-- @arg row_id       id for the `a` row
-- @arg id           id of the notification
-- @arg action
-- @arg device
-- @arg device_json  the device as JSON
-- @arg by_link      '1': the answer came by a link, see AnswerCommand; else '0'
-- Returns {'answered', answer, replayed} | {'already', answer} | {'unknown'} | {'notOffered'}; answer: see prelude-options.lua
local function answer()
  local options = Options.get(id)
  if not options then
    local offset = by_link == '0' and find_in_log(id)
    return { offset and 'notOffered' or 'unknown' }
  end
  -- A frame may name any text. One with a comma would match several names, and '.' the text for none.
  local is_name = not string.find(action, '[^a-z0-9_%-]')
  if not is_name or not string.find(',' .. options.actions .. ',', ',' .. action .. ',', 1, true) then return { 'notOffered' } end
  local first = redis.call('HGET', OPTIONS, 'a' .. id)
  if first then
    if string.match(first, '^%d+ (.*)$') == action .. ' ' .. device then return { 'answered', first, 1 } end
    return { 'already', first }
  end
  if make_room(false) and not Options.get(id) then return { 'unknown' } end
  local text = int(now) .. ' ' .. action .. ' ' .. device
  Options.set('a' .. id, text)
  cancel_expiry(expiry_member(options.offset, options.collapse_key), options.expires_at)
  local from = states_of({ id })[id]
  if counts_as_unread(from) then
    Unread.change(from, 'read')
    redis.call('HSET', STATES, id, 'read')
    redis.call('PEXPIRE', STATES, META_TTL_MS, 'NX')
  end
  append('a', row_id, answered_tail(id, action, int(now), device_json, Unread.counts()))
  Outbox.cancel_checks(options.offset)
  if OUTBOX.TELLS_ANSWERS then
    local data = '{"id":"' .. id .. '","action":"' .. action .. '","answeredAt":' .. int(now) .. ',"deviceId":' .. device_json .. '}'
    Outbox.call('webhook', 'notification.answered', id, options.offset, '-', data)
  end
  return { 'answered', text, 0 }
end

local result = answer()
save()
return result
