#!lua flags=allow-oom
-- Reads the push subscriptions of a user.
-- Returns {device, subscription, ...}; a subscription: see prelude-outbox.lua
local reply = Outbox.mode == '2' and redis.call('HGETALL', Outbox.key(OUTBOX.SUBSCRIPTIONS)) or {}
save()
return reply
