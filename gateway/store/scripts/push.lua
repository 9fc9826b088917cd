-- Numbers a notification, keeps it and tells every node that has the user online.
-- KEYS  1 inbox  2 meta  3 channel
-- ARGV  1 data  2 time to live in ms  3 known head  4 known epoch or ''  5 an epoch to begin
--       6 most entries  7 most bytes  8 most bytes of data inside the message
-- Answers: number, epoch, time, expiry, nodes, expired, pushed out, 1 if the store had lost something
local data, ttl = ARGV[1], tonumber(ARGV[2])
local max_count, max_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])

local is_lost = settle(tonumber(ARGV[3]), ARGV[4], ARGV[5])
local expired, pushed_out = find_expired(), 0

local function fits()
    return count <= 0 or (count < max_count and bytes + #data <= max_bytes)
end

if not fits() then
    for number in numbers_above(acked) do
        local value = not is_gone[number] and redis.call('HGET', inbox, number)
        if value then
            local _, size = parse(value)
            leave(number, size)
            pushed_out = pushed_out + 1
        end
        low = number + 1
        if fits() then
            break
        end
    end
end

local number, expires = head + 1, now + ttl
redis.call('HSET', inbox, number, digits(expires) .. ':' .. digits(now) .. ':0:' .. data)
if count <= 0 then
    count, bytes, low, due, last = 0, 0, number, expires, expires
end
head, count, bytes = number, count + 1, bytes + #data
due, last = math.min(due, expires), math.max(last, expires)
save()
redis.call('PEXPIREAT', inbox, last)
sign_of_life()

-- N: the notification itself; B: too big for the message, the node reads the inbox.
local kind, body = 'N', data
if #data > tonumber(ARGV[8]) then
    kind, body = 'B', ''
end
local nodes = redis.call('SPUBLISH', KEYS[3], table.concat(
    { kind, epoch, digits(number), digits(now), digits(expires), body }, ':'))
return { number, epoch, now, expires, nodes, expired, pushed_out, is_lost }
