-- Stands first in every script: the clock, and the user's record.
--
-- KEYS  1  inbox:   number -> "EXPIRES:TIME:LENGTH:", collapse key (LENGTH bytes), data
--                   c!KEY -> the number of the entry with that collapse key
--       2  meta:    v        version of this schema
--                   r        the record that every operation needs, packed: LAYOUT, and MARKS
--                   t        top, and edge where that is not what acked and low say, packed
--                   gaps     what left unacknowledged: "from-to:cause,..." (proto/gap.h)
--                   written  the highest number that a session is known to have had, if above acked
--                   shared   the position of the sessions without a device, where there are devices
--                   d!NAME   "POSITION:SEEN" of a device, SEEN in microseconds
--       3  numbers: a sorted set of all numbers in the inbox, by number; only if some are missing
--                   between the others
--       4  times:   a sorted set of those numbers whose entries expire earlier than one before them,
--                   by that time; only if there are such
--
-- Scripts do not roll back: each looks at what can be wrong before it writes. Redis, out of memory,
-- refuses the first write of a script if that may take memory, and none behind it. So push begins with
-- such a write; what reads or frees begins with another. Redis's own clock decides what has expired.
-- Numbers and times stay below 2^53, where Lua's doubles are exact; tostring() would round them, and
-- redis.call() prints a double slowly, so they go through string.format.
local inbox, meta = KEYS[1], KEYS[2]
local NEVER = 2 ^ 53
-- version, epoch, head, acked, low (no entry has a lower number), due (none expires earlier), last
-- (when Redis drops the whole inbox), bytes, count, day of the last sign of life, flags: the number
-- of devices, and HAS_KEYS. Below 64 bytes with the marks behind it, so that Redis keeps the hash
-- compact.
local VERSION, LAYOUT, HAS_KEYS = 2, '<I1c8dddddI4I3I2I1', 16
-- One byte: which of the two sorted sets there are. An older Herald writes the record without it, and
-- keeps neither them nor `t`: without it the inbox has to be read as a whole, once.
local MARKS_AT, HAS_NUMBERS, HAS_TIMES = 60, 1, 2

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local today = math.floor(now / 86400000)

local version, epoch, head, acked, low, due, last, bytes, count, day, flags
-- top: an entry that expires earlier than this stands in `times`. edge: what has this number or a
-- lower one has left the inbox; from low on it may still stand in Redis.
local top, edge = 0, nil
local has_numbers, has_times = false, false
local is_known = false -- all that says more than an older Herald knew
local is_old = false   -- written by the version before: one field each
local fields = redis.call('HMGET', meta, 'r', 't')
local packed = fields[1]
if packed then
    version, epoch, head, acked, low, due, last, bytes, count, day, flags =
        struct.unpack(LAYOUT, packed)
    local marks, places = string.byte(packed, MARKS_AT), fields[2]
    if marks and marks < 4 and places then
        is_known, has_numbers, has_times = true, marks % HAS_TIMES == HAS_NUMBERS, marks >= HAS_TIMES
        top = struct.unpack('<d', places)
        edge = #places == 16 and struct.unpack('<d', places, 9)
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
    last = is_old and now + math.max(0, redis.call('PTTL', inbox)) or 0
end
if version ~= VERSION then
    return redis.error_reply('SCHEMA version ' .. tostring(version) .. ' of ' .. meta
        .. ' is not known')
end
edge = edge or math.max(acked, low - 1)

-- Writes the record, and other fields of meta. While entries that have left still stand in Redis, an
-- older Herald is told that something is due: it then reads the inbox before it believes `bytes`.
local function write_record(...)
    local marks = (has_numbers and HAS_NUMBERS or 0) + (has_times and HAS_TIMES or 0)
    local is_apart = low <= edge
    redis.call('HSET', meta, 'r', struct.pack(LAYOUT, VERSION, epoch, head, acked, low,
        is_apart and 0 or due, last, math.max(0, bytes), count, day, flags) .. string.char(marks), 't',
        is_apart and struct.pack('<dd', top, edge) or struct.pack('<d', top), ...)
end
