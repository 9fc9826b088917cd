-- What waits for a user.
-- KEYS  3 block
-- Answers: epoch ('' for a user never heard of), head, acked, pending, time of the oldest, expired,
--          until when the user is blocked or 0
local blocked_until = redis.call('PEXPIRETIME', KEYS[3])
if blocked_until <= now then
    blocked_until = 0
end
if not epoch then
    return { '', 0, 0, 0, 0, 0, blocked_until }
end
local expired = find_expired()
load_devices()
if is_changed then
    save(false)
end
local oldest = 0
for at in numbers_above(acked) do
    local value = redis.call('HGET', inbox, digits(at))
    if value then
        oldest = tonumber(string.match(value, '^%d+:(%d+):'))
        break
    end
end
return { epoch, head, acked, count, oldest, expired, blocked_until }
