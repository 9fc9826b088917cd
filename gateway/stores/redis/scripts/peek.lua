-- What waits for a user.
-- KEYS  5 block
-- Answers: epoch ('' for a user never heard of), head, acked, pending, time of the oldest, expired,
--          until when the user is blocked or 0
local blocked_until = redis.call('PEXPIRETIME', KEYS[5])
if blocked_until <= now then
    blocked_until = 0
end
if not epoch then
    return { '', 0, 0, 0, 0, 0, blocked_until }
end
local expired = find_expired()
load_devices()
local _, value = first()
local oldest = value and tonumber(string.match(value, '^%d+:(%d+):')) or 0
if is_changed then
    save(false)
end
return { epoch, head, acked, count, oldest, expired, blocked_until }
