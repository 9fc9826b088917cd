-- Stands after clock.lua in every script of the event log: the record of a partition, and what enters
-- and leaves its inbox. Events leave at the low end alone and all have one time to live, so that a
-- number tells all that an inbox of a user needs sets and marks for.
--
-- KEYS  1  inbox:   number -> "EXPIRES:TIME:0:", data; no number is missing from low to head
--       2  meta:    v        2
--                   r        the record, packed: LAYOUT. Epoch, head and its time stand where record.lua
--                            has them, so that redis_heads reads both
--                   began    when the epoch began, in ms
--                   gaps     what left before all consumers had read it: "from-to:cause,..."
--                   d!NAME   "POSITION:SEEN" of a consumer, SEEN in ms
--       3  channel: each append publishes M with its last number and without data: who hears it reads
--
-- What all consumers have acknowledged is gone as soon as acked says so; it leaves Redis SWEEP entries
-- at a time. What has expired is looked for once a second, SWEEP entries at most. No step reads an
-- entry that it neither answers nor takes out, but for the one at which it ends.
--
-- As in record.lua, a full Redis refuses the first write of a script or none.
local inbox, meta, channel = KEYS[1], KEYS[2], KEYS[3]
local NEVER, SWEEP, WALK_MS, MAX_GAPS = 2 ^ 53, 256, 1000, 64
local DAY_MS, LIFE_MS, SPARE_MS = 86400000, '2678400000', 30000
-- version, epoch, head, acked, low (the lowest entry in Redis), bytes of data, due (no look at what has
-- expired before this), ends (when Redis drops the inbox), day of the last sign of life, number of
-- consumers, time of the head modulo TIMES
local LAYOUT, TIMES = '<I1c8ddddddI2I1I4', 2 ^ 32

local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local today = math.floor(now / DAY_MS)
local version, epoch, head, acked, low, bytes, due, ends, day, n_consumers, head_time =
    2, false, 0, 0, 1, 0, NEVER, 0, 0, 0, 0
local packed = redis.call('HGET', meta, 'r')
if packed then
    version, epoch, head, acked, low, bytes, due, ends, day, n_consumers, head_time =
        struct.unpack(LAYOUT, packed)
end
if version ~= 2 then
    return redis.error_reply('SCHEMA version ' .. tostring(version) .. ' of ' .. meta
        .. ' is not known')
end

local takes_memory = false -- this script is refused by a full Redis
local is_writing, is_changed = false, false
local gone, left = {}, {}  -- entries that leave Redis; and { from, to, cause } that left unread
local overflowed, expired = 0, 0 -- of these

local function digits(value)
    return string.format('%d', value)
end

local function begin_writing()
    if not is_writing then
        is_writing = true
        if takes_memory then
            redis.call('HSET', meta, 'v', '2')
        else
            redis.call('HDEL', meta, '')
        end
    end
end

-- ---- what leaves ----

local function note_left(from, to, cause)
    local last = left[#left]
    if last and last[2] + 1 == from and last[3] == cause then
        last[2] = to
    else
        left[#left + 1] = { from, to, cause }
    end
    if cause == 'o' then
        overflowed = overflowed + to - from + 1
    else
        expired = expired + to - from + 1
    end
end

local function clear_inbox()
    begin_writing()
    redis.call('UNLINK', inbox)
    gone, low, bytes, due, ends, is_changed = {}, head + 1, 0, NEVER, 0, true
end

-- When the lowest entry expires, and the bytes of its data; nil: it is not there.
local function first()
    local value = redis.call('HGET', inbox, digits(low))
    local expires, at = string.match(value or '', '^(%d+):%d+:%d+:()')
    return tonumber(expires), value and at and #value - at + 1 or 0
end

-- The lowest entry, or what there is of it, leaves.
local function take_first(size, cause)
    bytes = math.max(0, bytes - size)
    gone[#gone + 1] = digits(low)
    if low > acked then
        note_left(low, low, cause)
    end
    low, is_changed = low + 1, true
    if low > head then
        bytes, due, ends = 0, NEVER, 0 -- with its last entry the key is gone
    end
end

-- What all have acknowledged.
local function sweep(n)
    if acked >= head and low <= head then
        clear_inbox()
    end
    while low <= acked and low <= head and n > 0 do
        local _, size = first()
        take_first(size)
        n = n - 1
    end
end

local function expire()
    local n = 0
    while now >= due and low <= head do
        local expires, size = first()
        if not expires and redis.call('EXISTS', inbox) == 0 then -- Redis has dropped it all
            if head > acked then
                note_left(math.max(low, acked + 1), head, 'e')
            end
            clear_inbox()
        elseif n == SWEEP or (expires and expires > now) then
            due, is_changed = math.max(expires or 0, now + WALK_MS), true
        else
            take_first(size, 'e')
            n = n + 1
        end
    end
end

-- Up to `n` whose time is over, where more expire than expire() looks for.
local function expire_some(n)
    while n > 0 and due <= now + WALK_MS and low <= head do
        local expires, size = first()
        if not expires or expires > now then
            return
        end
        take_first(size, 'e')
        n = n - 1
    end
end

-- ---- writing ----

-- Of the ranges those that somebody may still ask for, with room for one more: the two oldest become
-- one, and some of that was pushed out.
local function prune(text)
    local ranges = {}
    for from, to, cause in string.gmatch(text, '(%d+)%-(%d+):(%l)') do
        if tonumber(to) > acked then
            ranges[#ranges + 1] = { from, to, cause }
        end
    end
    if #ranges >= MAX_GAPS then
        ranges[2] = { ranges[1][1], ranges[2][2], 'o' }
        table.remove(ranges, 1)
    end
    for i, range in ipairs(ranges) do
        ranges[i] = range[1] .. '-' .. range[2] .. ':' .. range[3]
    end
    return table.concat(ranges, ',')
end

local function gaps_text()
    local text = redis.call('HGET', meta, 'gaps') or ''
    for _, range in ipairs(left) do
        local at, from, to, cause = string.match(text, '()(%d+)%-(%d+):(%l)$')
        if at and to + 1 == range[1] and cause == range[3] then
            text = string.sub(text, 1, at - 1)
        else
            text, from = prune(text), digits(range[1])
            text = text == '' and '' or text .. ','
        end
        text = text .. from .. '-' .. digits(range[2]) .. ':' .. range[3]
    end
    return text
end

-- Writes all that was gathered, and other fields of meta. A sign of life keeps it for 31 days.
local function save(...)
    begin_writing()
    for i = 1, #gone, 1000 do -- unpack() has a limit
        redis.call('HDEL', inbox, unpack(gone, i, math.min(i + 999, #gone)))
    end
    local fields = { ... }
    if #left > 0 then
        fields[#fields + 1], fields[#fields + 2] = 'gaps', gaps_text()
    end
    local must_renew = day ~= today
    day = today
    redis.call('HSET', meta, 'r', struct.pack(LAYOUT, version, epoch, head, acked, low, bytes, due, ends,
        day, n_consumers, head_time), unpack(fields))
    if must_renew then
        redis.call('PEXPIRE', meta, LIFE_MS)
    end
end

-- What is there keeps its numbers, and the consumers their positions; without a record nothing says
-- what the inbox holds.
local function begin_epoch(fresh)
    begin_writing()
    if not epoch then
        redis.call('UNLINK', inbox, meta)
    end
    epoch, is_changed = fresh, true
    redis.call('HSET', meta, 'v', '2', 'began', digits(now))
end
