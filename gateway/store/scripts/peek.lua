-- What waits for a user.
-- KEYS  1 inbox  2 meta
-- Answers: epoch ('' for a user never heard of), head, acked, pending, time of the oldest, expired
if not epoch then
    return { '', 0, 0, 0, 0, 0 }
end
local expired = find_expired()
if has_walked then
    save()
end
local oldest = 0
for number in numbers_above(acked) do
    local value = redis.call('HGET', inbox, number)
    if value then
        oldest = tonumber(string.match(value, '^%d+:(%d+):'))
        break
    end
end
return { epoch, head, acked, count, oldest, expired }
