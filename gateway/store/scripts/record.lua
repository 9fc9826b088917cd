-- Stands first in every script: the clock, and the user's record.
--
-- KEYS  1  inbox: number -> "EXPIRES:TIME:LENGTH:", collapse key (LENGTH bytes), data
--                 c!KEY -> the number of the entry with that collapse key
--       2  meta:  v        version of this schema
--                 r        the record that every operation needs, packed: LAYOUT
--                 gaps     what left unacknowledged: "from-to:cause,..." (proto/gap.h)
--                 written  the highest number that a session is known to have had, if above acked
--                 shared   the position of the sessions without a device, where there are devices
--                 d!NAME   "POSITION:SEEN" of a device, SEEN in microseconds
--
-- Scripts do not roll back: each reads and decides first and writes last. Redis, out of memory,
-- refuses the first write of a script if that may take memory, and none behind it. So push begins with
-- such a write; what reads or frees begins with another. Redis's own clock decides what has expired.
-- Numbers and times stay below 2^53, where Lua's doubles are exact; tostring() would round them, and
-- redis.call() prints a double slowly, so they go through string.format.
local inbox, meta = KEYS[1], KEYS[2]
local NEVER = 2 ^ 53
-- version, epoch, head, acked, low (no entry has a lower number), due (none expires earlier), last
-- (when Redis drops the whole inbox), bytes, count, day of the last sign of life, flags: the number
-- of devices, and HAS_KEYS. Below 64 bytes, so that Redis keeps the hash compact.
local VERSION, LAYOUT, HAS_KEYS = 2, '<I1c8dddddI4I3I2I1', 16

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local today = math.floor(now / 86400000)

local version, epoch, head, acked, low, due, last, bytes, count, day, flags
local is_old = false -- written by the version before: one field each
local packed = redis.call('HGET', meta, 'r')
if packed then
    version, epoch, head, acked, low, due, last, bytes, count, day, flags =
        struct.unpack(LAYOUT, packed)
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

local function pack()
    return struct.pack(LAYOUT, VERSION, epoch, head, acked, low, due, last, bytes, count, day, flags)
end
