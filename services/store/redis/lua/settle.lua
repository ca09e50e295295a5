#!lua flags=allow-oom
-- Ends a call, or schedules its next attempt.
-- @arg call_epoch, no, made_at  the call; another one may have its number after the store lost its latest writes
-- @arg attempt
-- @arg outcome         done | retry | unsent | givenUp | `gone`
-- @arg retry_at        Unix milliseconds; 0 unless the outcome is retry
-- @arg endpoint        that of the subscription to remove; '' unless the outcome is `gone`. If the device has another endpoint by now, the call is due
--                      at once, for that one
-- Returns 1; 0 if the call is unknown, or was leased again and the outcome means nothing then
no = Outbox.digits(tonumber(no))
local text = Outbox.mode ~= '0' and redis.call('HGET', Outbox.key(OUTBOX.CALLS), no)
local call = text and Outbox.decode(text)
local subscription = call and outcome == 'gone' and redis.call('HGET', Outbox.key(OUTBOX.SUBSCRIPTIONS), call.rest)
local is_renewed = subscription and string.match(subscription, '^[^ ]+ [^ ]+ ([^ ]+)') ~= endpoint
local is_of_lease = outcome == 'retry' or outcome == 'unsent' or outcome == 'givenUp' or is_renewed
local is_known = call and call.epoch == call_epoch and call.made_at == made_at and not (is_of_lease and call.attempts ~= tonumber(attempt))
if is_known then
  local due_at = tonumber(retry_at)
  if outcome == 'unsent' then
    call.attempts, due_at = call.attempts - 1, wall
  end
  if is_renewed then due_at = wall end
  local status = not is_renewed and ({ done = 's', givenUp = 'f', gone = 'g' })[outcome]
  if status then Outbox.finish(no, call, status) else Outbox.write(no, call, due_at) end
  if outcome == 'gone' and not is_renewed then Outbox.unsubscribe(call.rest) end
end
save()
return is_known and 1 or 0
