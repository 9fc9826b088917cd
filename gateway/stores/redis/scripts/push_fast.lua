-- The push as it nearly always is: a user who is known and has no device, nothing to expire, room,
-- no key of any kind, an inbox that expires in the order of its numbers. What is not decided here goes
-- on to push.lua. It stands before the functions of inbox.lua and common.lua and calls none, because
-- Lua makes those anew for each call: two of them are a tenth of it.
-- KEYS  5 channel  6 idempotency key, if any
-- ARGV  1 data  2 time to live in ms  3 known head  4 known epoch or ''  5 an epoch to begin
--       6 most entries  7 most bytes  8 most bytes of data inside the message
--       9 the position that the node knows
--       and only with one of the keys: 10 collapse key or ''  11 print  12 how long the idempotency
--       key is remembered, in ms
-- Answers: number, epoch, time, expiry, nodes (Redis's words if it would not publish); and push.lua's
--          besides: expired, pushed out, 1 if the store had lost something, the number that was replaced
--          or 0, 1 for a repeat or 2 for another push with that key
local data, ttl = ARGV[1], tonumber(ARGV[2])
local known_head, covered = tonumber(ARGV[3]), tonumber(ARGV[9])
local max_count, max_bytes = tonumber(ARGV[6]), tonumber(ARGV[7])
local number, expires = head + 1, now + ttl

-- M: the notification itself; B: too big for the message, the node reads the inbox; W: numbers that
-- were withdrawn, and the letter of their cause: here the one that was replaced, which B does not
-- tell.
-- It is the last thing that a script does: published first, a number could be heard and then not kept.
-- If it is refused the answer is Redis's words, and what is kept is kept.
local function say(message)
    local answer = redis.pcall('SPUBLISH', KEYS[5], message)
    return type(answer) == 'table' and answer.err or answer
end

local function publish(key, replaced)
    if #data <= tonumber(ARGV[8]) then
        return say(string.format('M:%s:%d:%d:%d:%d:%d:%d:', epoch, number, now, expires, acked,
            replaced, #key) .. key .. data)
    end
    if replaced > 0 then
        say(string.format('W:%s:%d:%d:l:', epoch, replaced, replaced))
    end
    return say(string.format('B:%s:%d:%d:%d:', epoch, number, now, expires))
end

if is_known and not ARGV[10] and flags == 0 and day == today
    and (count == 0 or (now < due and expires >= top and low > edge and not has_times
        and (has_numbers or count < BIG)))
    and (known_head <= head or (ARGV[4] ~= '' and ARGV[4] ~= epoch)) then
    local is_covered = covered > acked and ARGV[4] == epoch
    local is_all_covered = is_covered and covered == head and head - low < 8 and not has_numbers
    if is_all_covered or (not is_covered
            and (count == 0 or (count < max_count and bytes + #data <= max_bytes))) then
        redis.call('HSET', inbox, string.format('%d', number),
            string.format('%d:%d:0:', expires, now) .. data)
        if has_numbers then
            redis.call('ZADD', KEYS[3], string.format('%d', number), string.format('%d', number))
        end
        if is_all_covered then
            for at = low, count > 0 and head or 0 do
                redis.call('HDEL', inbox, string.format('%d', at))
            end
            acked, count, bytes = head, 0, 0
        end
        if count == 0 then
            low, edge, due = number, head, NEVER
        end
        head, count, bytes, due = number, count + 1, bytes + #data, math.min(due, expires)
        local must_move = expires >= (math.floor(top / 2 ^ slack) + 1) * 2 ^ slack
        if must_move then
            local _, exponent = math.frexp(ttl / 16)
            slack = math.max(0, math.min(21, exponent - 1)) -- 35 minutes at most
        end
        top = expires
        redis.call('HSET', meta, 'r', struct.pack(LAYOUT, VERSION, epoch, head, acked, low, due, top,
            bytes, count, day, flags) .. string.char(slack * MARKS
                + (has_numbers and HAS_NUMBERS or 0)))
        if must_move then
            local at = string.format('%d', (math.floor(top / 2 ^ slack) + 1) * 2 ^ slack)
            redis.call('PEXPIREAT', inbox, at)
            if has_numbers then
                redis.call('PEXPIREAT', KEYS[3], at)
            end
        end
        return { number, epoch, now, expires, publish('', 0) }
    end
end
