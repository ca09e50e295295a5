-- Counts the unread notifications of a user, and those of them that are `seen`.

-- Meta keeps the number of the seen ones with a stamp, which grows with every change of a state. Nodes of an earlier version, and
-- publish-usual.lua when it replaces a notification, do not write the number. If its stamp is not the one of the log, or if there
-- is no number, the seen ones are counted when the number is needed.
--   known      the number; nil until it is needed
--   is_stored  save() writes the number: STATES exists, or has existed
--   exists     STATES exists; nil if this is not known
local Unread = {}

function Unread.stamp()
  return int(changes + floor)
end

do
  local seen, stamp = string.match(meta[16] or '', '^(%d+) (%d+)$')
  if stamp == Unread.stamp() then Unread.known, Unread.is_stored = tonumber(seen), true end
end

function Unread.has_states()
  if Unread.exists == nil then Unread.exists = redis.call('EXISTS', STATES) == 1 end
  return Unread.exists
end

function Unread.seen()
  if Unread.known then return Unread.known end
  local seen = 0
  if unread > 0 and Unread.has_states() then
    for _, state in ipairs(redis.call('HVALS', STATES)) do
      if state == 'seen' then seen = seen + 1 end
    end
    Unread.is_stored = true
  end
  Unread.known = seen
  return seen
end

-- Makes save() write the number if there are states. In a user's META with j 2 a missing number says that there are none.
function Unread.note_states()
  if meta[16] or not Unread.has_states() then return end
  Unread.seen()
  Unread.is_stored = true
end

function Unread.unseen()
  return unread - Unread.seen()
end

-- Returns the counts as the JSON of a frame.
function Unread.counts()
  return '"unread":' .. int(unread) .. ',"unseen":' .. int(Unread.unseen())
end

-- Counts a change of state. The caller writes it to STATES afterwards.
--   from  nil for unread
--   to    'removed' if the notification leaves the log
function Unread.change(from, to)
  local seen = Unread.seen()
  if from == 'seen' then seen = seen - 1 end
  if to == 'seen' then seen = seen + 1 end
  Unread.known = seen
  if counts_as_unread(from) then unread = unread - 1 end
  if counts_as_unread(to) then unread = unread + 1 end
  local is_kept = from and from ~= 'unread' or to ~= 'unread' and to ~= 'removed'
  if is_kept then Unread.is_stored, Unread.exists = true, true end
end

