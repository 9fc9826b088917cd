-- Stands in every script after clock.lua: the time, and the user's record.
--
-- KEYS  1  inbox:   number -> "EXPIRES:TIME:LENGTH:", collapse key (LENGTH bytes), data
--                   c!KEY -> the number of the entry with that collapse key
--       2  meta:    v        version of this schema
--                   r        the record that every operation needs, packed: LAYOUT, and MARKS
--                   gaps     what left unacknowledged: "from-to:cause,..." (proto/note/gap.h)
--                   edge     see below; only where that is not what acked and low say
--                   written  the highest number that a session is known to have had, if above acked
--                   shared   the position of the sessions without a device, where there are devices
--                   d!NAME   "POSITION:SEEN" of a device, SEEN in microseconds
--       3  numbers: a sorted set of all numbers in the inbox, by number; from BIG entries on, or as
--                   soon as one is missing between the others
--       4  times:   a sorted set of those numbers whose entries expire earlier than one before them,
--                   by that time; only if there are such
--
-- Scripts do not roll back: each looks at what can be wrong before it writes. Redis, out of memory,
-- refuses the first write of a script if that may take memory, and none after it. So push begins with
-- such a write; what reads or frees begins with another. Redis's own clock decides what has expired.
-- Numbers and times stay below 2^53, where Lua's doubles are exact; tostring() would round them, and
-- redis.call() prints a double slowly, so they go through string.format.
local inbox, meta = KEYS[1], KEYS[2]
local NEVER = 2 ^ 53
local BIG = 1000 -- so that no script makes a set of more
-- version, epoch, head, acked, low (no entry has a lower number), due (none expires earlier), top (an
-- entry that expires earlier than this when it comes stands in `times`; none expires later), bytes,
-- count, day of the last sign of life, flags: the number of devices, and HAS_KEYS. At most 64 bytes with
-- what comes after it, so that Redis keeps the hash compact.
local VERSION, LAYOUT, HAS_KEYS = 2, '<I1c8dddddI4I3I2I1', 16
-- One byte: which of the two sorted sets there are, and whether there is an edge; and how far after
-- `top`, as a power of two in ms, Redis drops the whole inbox. An older Herald writes the record
-- without it, and keeps none of these: without it the inbox has to be read as a whole, once.
local MARKS_AT, HAS_NUMBERS, HAS_TIMES, HAS_EDGE, MARKS = 60, 1, 2, 4, 8
local LAYOUT_MARKED = '<I1c8dddddI4I3I2I1B'
-- And when the number `head` was given, in ms modulo TIMES. It says whether a number that a node knows
-- is the one that is meant here: if Redis has lost the latest numbers, they are given again. A Herald
-- that does not know this writes the record without it; it stays away then until the next push.
local LAYOUT_TIMED, TIMES = '<I1c8dddddI4I3I2I1BI4', 2 ^ 32

local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local today = math.floor(now / 86400000)

local version, epoch, head, acked, low, due, top, bytes, count, day, flags
local edge -- what has this number or a lower one has left the inbox; it may stand in Redis from low on
local has_numbers, has_times, has_edge, slack = false, false, false, 0
local head_time = false -- false: is not known
local is_known = false -- all that an older Herald does not know
local is_old = false   -- written by the version before: one field each
local packed = redis.call('HGET', meta, 'r')
if packed then
    local marks
    if #packed > MARKS_AT then
        version, epoch, head, acked, low, due, top, bytes, count, day, flags, marks, head_time =
            struct.unpack(LAYOUT_TIMED, packed)
    else
        version, epoch, head, acked, low, due, top, bytes, count, day, flags =
            struct.unpack(LAYOUT, packed)
        marks = string.byte(packed, MARKS_AT)
    end
    if marks then
        is_known, slack = true, math.floor(marks / MARKS)
        has_numbers, has_times = marks % 2 == 1, marks % 4 >= HAS_TIMES
        has_edge = marks % MARKS >= HAS_EDGE
        edge = has_edge and tonumber(redis.call('HGET', meta, 'edge'))
    end
else -- epoch stays false for a user never heard of
    local old = redis.call('HMGET', meta, 'v', 'epoch', 'head', 'acked', 'low', 'due', 'bytes',
        'count', 'day')
    is_old, epoch = old[2] and true, old[2]
    version = is_old and old[1] == '1' and VERSION or tonumber(old[1] or VERSION)
    head, acked = tonumber(old[3] or 0), tonumber(old[4] or 0)
    low, due = tonumber(old[5] or 1), tonumber(old[6] or NEVER)
    bytes, count = math.max(0, tonumber(old[7] or 0)), math.max(0, tonumber(old[8] or 0))
    day, flags = tonumber(old[9] or 0), 0
    top = is_old and now + math.max(0, redis.call('PTTL', inbox)) or 0
end
if version ~= VERSION then
    return redis.error_reply('SCHEMA version ' .. tostring(version) .. ' of ' .. meta
        .. ' is not known')
end
edge = edge or math.max(acked, low - 1)
