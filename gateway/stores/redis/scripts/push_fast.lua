-- The push as it nearly always is: a user who is known and has no device, nothing to expire, room,
-- no collapse key, an inbox that expires in the order of its numbers. What is not decided here goes on
-- to push.lua. It stands before the functions of inbox.lua and common.lua and makes none itself, because
-- Lua makes those anew for each call; and what it is told and answers is one text each, because each
-- argument and each part of an answer costs Redis about a per cent of all this. In a batch it is called
-- for one push after the other (batch_open.lua).
-- KEYS  5 channel  6 idempotency key, if any
-- ARGV  1 data  2 what else a push needs, packed: time to live in ms, known head, the position that the
--       node knows, most entries, most bytes, most bytes of data inside the message, the time of the
--       known head or 0, known epoch or zeros, an epoch to begin
--       and only with one of the keys: 3 collapse key or ''  4 print  5 how long the idempotency key is
--       remembered, in ms
-- Answers: "NUMBER:TIME:NODES:", epoch. What push.lua answers, and a push that was kept and not
--          published: number, epoch, time, expiry, nodes (Redis's words if it would not publish); and
--          push.lua besides: expired, pushed out, 1 if the store had lost something, the number that
--          was replaced or 0, 1 for a repeat or 2 for another push with that key, 1 if the user has
--          devices (what is decided here goes to users without)
local FEW_WAIT = 8
local data = ARGV[1]
local ttl, known_head, covered, max_count, max_bytes, max_inside, known_time, known_epoch =
    struct.unpack('<ddddddI4c8', ARGV[2])
local number, expires = head + 1, now + ttl

if is_known and flags == 0 and day == today and #data <= max_inside and (ARGV[3] or '') == ''
    and (count == 0 or (now < due and expires >= top and low > edge and not has_times
        and (has_numbers or count < BIG)))
    and (known_epoch == epoch
        and ((known_head == head and (known_time == 0 or known_time == head_time))
            or (known_head < head and (known_time == 0 or tonumber(string.match(redis.call('HGET', inbox,
                string.format('%d', known_head)) or '', ':(%d+)') or known_time) % TIMES == known_time)))
        or (known_epoch ~= epoch and (known_head <= head or string.byte(known_epoch) ~= 0))) then
    local is_covered = covered > acked and known_epoch == epoch
    local is_all_covered = is_covered and covered == head and head - low < FEW_WAIT and not has_numbers
    -- What is covered in part, or too long to be named here, may wait a little if there is room.
    if (is_all_covered or count == 0 or (count < (is_covered and FEW_WAIT or max_count)
            and count < max_count and bytes + #data <= max_bytes))
        and not (KEYS[6] and redis.call('GET', KEYS[6])) then
        local number_text, now_text, expires_text, acked_text =
            string.format('%d', number), string.format('%d', now), string.format('%d', expires)
        redis.call('HSET', inbox, number_text, expires_text .. ':' .. now_text .. ':0:' .. data)
        if has_numbers then
            redis.call('ZADD', KEYS[3], number_text, number_text)
        end
        if is_all_covered then
            acked_text = string.format('%d', head)
            if count > 0 then
                for at = low, head - 1 do
                    redis.call('HDEL', inbox, string.format('%d', at))
                end
                redis.call('HDEL', inbox, acked_text)
            end
            acked, count, bytes = head, 0, 0
        end
        if count == 0 then
            low, due = number, NEVER
        end
        head, count, bytes, due = number, count + 1, bytes + #data, math.min(due, expires)
        local step = 2 ^ slack
        local must_move = expires >= top - top % step + step
        if must_move then
            local _, exponent = math.frexp(ttl / 16)
            slack = math.max(0, math.min(21, exponent - 1)) -- 35 minutes at most
        end
        top = expires
        redis.call('HSET', meta, 'r', struct.pack(LAYOUT_TIMED, VERSION, epoch, head, acked, low, due,
            top, bytes, count, day, flags, slack * MARKS + (has_numbers and HAS_NUMBERS or 0),
            now % TIMES))
        if must_move then
            local at = string.format('%d', (math.floor(top / 2 ^ slack) + 1) * 2 ^ slack)
            redis.call('PEXPIREAT', inbox, at)
            if has_numbers then
                redis.call('PEXPIREAT', KEYS[3], at)
            end
        end
        if KEYS[6] then
            redis.call('SET', KEYS[6], ARGV[4] .. epoch .. ':' .. number_text .. ':' .. now_text .. ':'
                .. expires_text, 'PX', ARGV[5])
        end
        -- M: the notification itself, see push.lua. It is the last thing that a script does.
        local nodes = redis.pcall('SPUBLISH', KEYS[5], 'M:' .. epoch .. ':' .. number_text .. ':'
            .. now_text .. ':' .. expires_text .. ':' .. (acked_text or string.format('%d', acked))
            .. ':0:0:' .. data)
        if type(nodes) == 'table' then
            return { number, epoch, now, expires, nodes.err }
        end
        return number_text .. ':' .. now_text .. ':' .. (nodes == 1 and '1' or string.format('%d', nodes))
            .. ':' .. epoch
    end
end
