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
redis.call('HSET', inbox, digits(number), string.format('%d:%d:0:', expires, now) .. data)
if count > 0 and #gone == 0 and not has_walked and due <= expires then -- as nearly always: few fields
    head, count, bytes = number, count + 1, bytes + #data
    redis.call('HSET', meta, 'head', digits(head), 'count', digits(count), 'bytes', digits(bytes))
    redis.call('PEXPIREAT', inbox, digits(expires), 'GT')
elseif count <= 0 and #gone == 0 then -- the first that waits, and its key is new
    head, count, bytes, low, due = number, 1, #data, number, expires
    redis.call('HSET', meta, 'head', digits(head), 'count', '1', 'bytes', digits(bytes),
        'low', digits(low), 'due', digits(due))
    redis.call('PEXPIREAT', inbox, digits(expires))
else
    if count <= 0 then
        count, bytes, low, due = 0, 0, number, expires
    end
    head, count, bytes, due = number, count + 1, bytes + #data, math.min(due, expires)
    save()
    -- GT takes a key without an expiry for one that never expires, which a new key is.
    redis.call('PEXPIREAT', inbox, digits(expires), redis.call('PTTL', inbox) < 0 and 'NX' or 'GT')
end
sign_of_life()

-- N: the notification itself; B: too big for the message, the node reads the inbox.
local kind, body = 'N', data
if #data > tonumber(ARGV[8]) then
    kind, body = 'B', ''
end
local nodes = redis.call('SPUBLISH', KEYS[3],
    string.format('%s:%s:%d:%d:%d:', kind, epoch, number, now, expires) .. body)
return { number, epoch, now, expires, nodes, expired, pushed_out, is_lost }
