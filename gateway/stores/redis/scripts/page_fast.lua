-- Reads the inbox from a position on. A user to whom nothing was ever pushed has no epoch yet.
-- Here as it nearly always is: for a user without devices nothing waits, or what waits has room in a
-- page, none of it has expired and no number is missing; or nothing was ever pushed. What waits is not
-- read here: Lua would copy and hash all of it twice, so the node asks for it by HMGET (redis_entries.c).
-- It stands before the functions of inbox.lua and common.lua and makes none itself, because Lua makes
-- those anew for each call. What is not decided here goes on to page.lua.
-- KEYS  5 block
-- ARGV  1 read above this number, or '' for the position  2 of this epoch, or '' for any
--       3 most entries  4 most bytes of data  5 known head  6 known epoch or ''  7 an epoch to begin
--       8 device or ''  9 any of: a (an arrival, of the device if any), b (begin a user who is not there),
--       g (tell why numbers are missing), w (tell all causes that are recorded), r (writes are refused:
--       only read; answers nothing where that is not enough), s (read what waits in the script),
--       k (show nothing to a user who is blocked, and tell until when; an arrival asks for it as well)
--       10 the time of the known head, modulo TIMES, or 0
-- Answers: ":" for a user never heard of; "HEAD:ACKED:START:RESUMED:TIME:HEADTIME:", epoch, where all
--          numbers above START wait, and with 1 if that is ARGV[1]; what page.lua answers
local MAX_FETCHED = 512 -- as in redis_entries.h
local device, wishes = ARGV[8], ARGV[9]
local max_count, max_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local known_head, known_time = tonumber(ARGV[5]), tonumber(ARGV[10])
local after = tonumber(ARGV[1] ~= '' and ARGV[1] or NEVER)
local is_resumed = after <= head and (ARGV[2] == '' or ARGV[2] == epoch)
local is_arrival = string.find(wishes, 'a', 1, true)
if string.find(wishes, '[ak]') then
    local blocked_until = redis.call('PEXPIRETIME', KEYS[5])
    if blocked_until > now then
        return { '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', {}, blocked_until, 0 }
    end
end
is_arrival = is_arrival and device ~= ''
local must_begin = is_arrival or string.find(wishes, 'b', 1, true)

if not epoch and ARGV[6] == '' and not must_begin then -- whatever the known head: it is of no epoch
    return ':'
end
local start = is_resumed and after or acked
if is_known and device == '' and flags % HAS_KEYS == 0 and day == today and not has_numbers
    and ((ARGV[6] ~= '' and ARGV[6] ~= epoch)
        or (known_head == head and (known_time == 0 or known_time == head_time or ARGV[6] == ''))
        or (known_head < head and (known_time == 0 or ARGV[6] == '' or tonumber(string.match(redis.call(
            'HGET', inbox, string.format('%d', known_head)) or '', ':(%d+)') or known_time) % TIMES
            == known_time)))
    and (start == head or (start >= edge and low > edge and now < due
        and count <= math.min(max_count, MAX_FETCHED) and bytes <= max_bytes))
    and (count == 0 or now < due) and not string.find(wishes, '[rws]') then
    return string.format('%d:%d:%d:%d:%d:%d:', head, acked, start, is_resumed and 1 or 0, now,
        head_time or 0) .. epoch
end
