#!lua flags=allow-oom
-- Leases the next batch of a topic.
-- @arg collector  name of the caller, if an audience must be collected
-- Returns {'batch', broadcast, number of members before, '1' for a recall, id, tail, half-life, options, start, members}
--         | {'collecting', broadcast, to, number of erasures} | {'leased'} | {'idle'}
local reply = lease_head(collector)
save()
return reply
