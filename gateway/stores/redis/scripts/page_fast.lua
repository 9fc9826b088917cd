-- Reads the inbox from a position on. A user to whom nothing was ever pushed has no epoch yet.
-- Here as it nearly always is: nothing waits for a user without devices, or nothing was ever pushed.
-- It stands before the functions of inbox.lua and common.lua and makes none itself, because Lua makes
-- those anew for each call. What is not decided here goes on to page.lua.
-- KEYS  5 block
-- ARGV  1 read above this number, or '' for the position  2 of this epoch, or '' for any
--       3 most entries  4 most bytes of data  5 known head  6 known epoch or ''  7 an epoch to begin
--       8 device or ''  9 any of: a (an arrival, of the device if any), b (begin a user who is not there),
--       g (tell why numbers are missing), w (tell all causes that are recorded), r (writes are refused:
--       only read; answers nothing where that is not enough)
-- Answers: ":" for a user never heard of; "HEAD:ACKED:RESUMED:", epoch, where the page is empty and
--          complete up to head, with 1 if it begins above ARGV[1]; what page.lua answers
local device, wishes = ARGV[8], ARGV[9]
local known_head, after = tonumber(ARGV[5]), tonumber(ARGV[1] ~= '' and ARGV[1] or NEVER)
local is_resumed = after <= head and (ARGV[2] == '' or ARGV[2] == epoch)
local is_arrival = string.find(wishes, 'a', 1, true)
if is_arrival then
    local blocked_until = redis.call('PEXPIRETIME', KEYS[5])
    if blocked_until > now then
        return { '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', {}, blocked_until }
    end
end
is_arrival = is_arrival and device ~= ''
local must_begin = is_arrival or string.find(wishes, 'b', 1, true)

if not epoch and ARGV[6] == '' and not must_begin then -- whatever the known head: it is of no epoch
    return ':'
end
if is_known and device == '' and flags % HAS_KEYS == 0 and day == today and count == 0
    and (known_head <= head or (ARGV[6] ~= '' and ARGV[6] ~= epoch))
    and (is_resumed and after or acked) == head and not string.find(wishes, '[rw]') then
    return string.format('%d:%d:%d:', head, acked, is_resumed and 1 or 0) .. epoch
end
