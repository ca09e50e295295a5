#!lua flags=allow-oom
-- Removes the push subscription of a device, and the calls that wait for the device.
-- @arg device
-- Returns 1; 0 if there is none
local found = Outbox.unsubscribe(device)
save()
return found and 1 or 0
