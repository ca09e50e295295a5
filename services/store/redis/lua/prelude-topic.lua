-- Begins the scripts of topics and broadcasts. Names of keys below follow the stem of the bucket, that of WAITING.
--   tm:<topic>  set of the members
--   tj:<topic>  hash of the names that are being added -> version; it expires
--   ta          set of the topics that may have a tj; it expires
--   tv          the version of the latest change in the bucket
--   tu:<part>   hash of a part of the bucket's users: '<topic>\0<user>' -> version. Each membership is in it; a field without a membership means nothing
--
-- A membership has two parts, in two buckets: the name in tm at the home of the topic, and the field in tu at that of the user. Invariant: a name in tm
-- has its field. An addition takes a version at home and notes the name in tj (1), writes the field with the version (2), and moves the name from
-- tj to tm only if tj still has that version (3), else it begins again. A removal takes a version and removes the name from tm and tj in one step (a),
-- then removes the field if its version is lower (b). If (a) precedes (1), the field has a higher version, and (b) keeps it. If (a) comes between (1) and
-- (3), (3) finds no name in tj. If (a) follows (3), the membership has ended, and (b) may come at any time. An addition that finds a name in tj
-- takes over its version: every removal since has a higher one, and would have removed it. What a crash leaves is in tj, or a field alone.
-- An erasure removes the name from every tj; an addition under way then begins again.
-- @key WAITING  zset of the bucket: the broadcast at the head of each queue -> end of its lease, or the time from which it waits
-- @arg clock    see prelude-clock.lua
-- @arg topic    '' for everyone
local call = redis.call
local stem = string.sub(WAITING, 1, #WAITING - #WAITING_KIND)
local members, joining, additions, version_key = stem .. 'tm:' .. topic, stem .. 'tj:' .. topic, stem .. 'ta', stem .. 'tv'

-- Arguments that a command gets at once: Lua's stack is too short to unpack a long list.
local SLICE = 1000

-- Calls visit with slices of a list, and where each begins.
local function each_slice(list, visit)
  for from = 1, #list, SLICE do
    local slice = {}
    for i = from, math.min(from + SLICE - 1, #list) do slice[#slice + 1] = list[i] end
    visit(slice, from)
  end
end
