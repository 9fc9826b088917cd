-- Numbers a notification, keeps it and tells every node that has the user online; arguments and
-- answers are in push_fast.lua.
local key = ARGV[3] or ''
if string.byte(known_epoch) == 0 then
    known_epoch = ''
end

-- M: the notification itself; B: too big for the message, the node reads the inbox; W: numbers that
-- were withdrawn, and the letter of their cause: here the one that was replaced, which B does not
-- tell.
-- It is the last thing that a script does: published first, a number could be heard and then not kept.
-- If it is refused the answer is Redis's words, and what is kept is kept.
local function say(message)
    local answer = redis.pcall('SPUBLISH', KEYS[5], message)
    return type(answer) == 'table' and answer.err or answer
end

local function publish(replaced)
    if #data <= max_inside then
        return say(string.format('M:%s:%d:%d:%d:%d:%d:%d:', epoch, number, now, expires, acked,
            replaced, #key) .. key .. data)
    end
    if replaced > 0 then
        say(string.format('W:%s:%d:%d:l:', epoch, replaced, replaced))
    end
    return say(string.format('B:%s:%d:%d:%d:', epoch, number, now, expires))
end

local function has_devices()
    return flags % HAS_KEYS > 0 and 1 or 0
end

if KEYS[6] then
    local seen = redis.call('GET', KEYS[6])
    if seen and string.sub(seen, 1, 16) ~= ARGV[4] then
        return { 0, '', 0, 0, 0, 0, 0, 0, 0, 2, 0 }
    end
    if seen then
        local first = { string.match(seen, '^(%w+):(%d+):(%d+):(%d+)$', 17) }
        local nodes = redis.pcall('PUBSUB', 'SHARDNUMSUB', KEYS[5])[2] or 0 -- may be forbidden
        return { tonumber(first[2]), first[1], tonumber(first[3]), tonumber(first[4]), nodes,
            0, 0, 0, 0, 1, has_devices() }
    end
end

is_push, own_key = true, key
local is_lost = settle(known_head, known_time, known_epoch, struct.unpack('c8', ARGV[2], 61))
local expired, pushed_out, replaced = find_expired(), 0, 0
if flags % HAS_KEYS > 0 and not devices then
    load_devices()
elseif covered > acked and covered <= head and known_epoch == epoch then
    drop_up_to(covered)
end

if key ~= '' and flags >= HAS_KEYS then
    local at = tonumber(redis.call('HGET', inbox, 'c!' .. key) or 0)
    local value = at > edge and redis.call('HGET', inbox, digits(at))
    if value then
        leave(at, value, 'l')
        replaced = at
    end
end

while count > 0 and (count >= max_count or bytes + #data > max_bytes) do
    if low <= edge and count < max_count then
        sweep(SWEEP) -- what has left already goes first
    else
        local at, value = first()
        if value then
            leave(at, value, 'o')
            pushed_out = pushed_out + 1
        end
    end
end

begin_writing()
if count >= BIG and not has_numbers then
    begin_numbers()
end
number = head + 1
local must_move = put_last(number, string.format('%d:%d:%d:', expires, now, #key) .. key .. data,
    expires, key)
if count == 0 then
    low, edge = number, head
end
head, count, bytes, due = number, count + 1, bytes + #data, math.min(due, expires)
head_time = now % TIMES
if expires >= end_of_inbox() then
    local _, exponent = math.frexp(ttl / 16) -- as in push_fast.lua
    slack, must_move = math.max(0, math.min(21, exponent - 1)), true
end
top = math.max(top, expires)
if must_move then
    move_expiry()
end
save(true)
if KEYS[6] then
    redis.call('SET', KEYS[6], ARGV[4] .. string.format('%s:%d:%d:%d', epoch, number, now, expires),
        'PX', ARGV[5])
end
return { number, epoch, now, expires, publish(replaced), expired, pushed_out, is_lost, replaced,
    0, has_devices() }
