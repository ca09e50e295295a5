#!lua flags=no-writes
-- Reads up to when the user's tokens are revoked.
-- @key META
-- Returns Unix milliseconds as text; '0' if no tokens are revoked
return redis.call('HGET', META, 'r') or '0'
