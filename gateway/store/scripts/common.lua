-- Stands in front of every script: the user's record, expiry and epochs.
--
-- KEYS  1  inbox: number -> "EXPIRES:TIME:LENGTH:", collapse key (LENGTH bytes), data
--       2  meta, one field each:
--          v      version of this schema      epoch  the present run of numbers
--          head   the highest number given    acked  the acknowledged position
--          count, bytes  of the entries and their data
--          low    no entry has a lower number
--          due    no entry expires earlier
--          day    of the last sign of life, counted from 1970
--
-- Scripts do not roll back: each reads and decides first and writes last. Redis, out of memory,
-- refuses the first write of a script if that may take memory, and none behind it. So push begins with
-- such a write; what reads or frees begins with another. Redis's own clock decides what has expired.
-- Numbers and times stay below 2^53, where Lua's doubles are exact; tostring() would round them, and
-- redis.call() prints a double slowly, so what is often written goes through digits().
local inbox, meta = KEYS[1], KEYS[2]
local DAY_MS = 24 * 3600 * 1000
local LIFE_MS = '2678400000' -- 30 days, and the one that a sign of life may be old
local NEVER = 2 ^ 53
local CHUNK = 1000 -- unpack() has a limit

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local record = redis.call('HMGET', meta, 'v', 'epoch', 'head', 'acked', 'count', 'bytes', 'low',
    'due', 'day')
if record[1] and record[1] ~= '1' then
    return redis.error_reply('SCHEMA version ' .. record[1] .. ' of ' .. meta .. ' is not known')
end
local epoch = record[2] -- false for a user never heard of
local head, acked = tonumber(record[3] or 0), tonumber(record[4] or 0)
local count, bytes = tonumber(record[5] or 0), tonumber(record[6] or 0)
local low, due = tonumber(record[7] or 1), tonumber(record[8] or NEVER)
local day, today = tonumber(record[9] or 0), math.floor(now / DAY_MS)
local gone, is_gone = {}, {} -- what save() deletes
local has_walked = false -- find_expired has counted anew: save(), or the next call walks again

local function digits(number)
    return string.format('%d', number)
end

-- When an entry expires, and the bytes of its data. What is no entry has expired long ago.
local function parse(value)
    local expires, key_length, at = string.match(value, '^(%d+):%d+:(%d+):()')
    if not expires then
        return 0, 0
    end
    return tonumber(expires), #value - at + 1 - tonumber(key_length)
end

local function leave(number, size)
    gone[#gone + 1] = number
    is_gone[number] = true
    count = count - 1
    bytes = bytes - size
end

-- Changes nothing, but is a write that Redis never refuses.
local function be_not_refused()
    redis.call('HDEL', meta, '')
end

-- Drops what has expired and answers how much that was. `due` spares the walk most of the time. Redis
-- may have dropped the whole inbox already, so the rest is counted anew.
local function find_expired()
    if count <= 0 or now < due then
        return 0
    end
    local before, all = count, redis.call('HGETALL', inbox)
    count, bytes, low, due, has_walked = #all / 2, 0, head + 1, NEVER, true
    for i = 1, #all, 2 do
        local number = tonumber(all[i])
        local expires, size = parse(all[i + 1])
        bytes = bytes + size
        if expires <= now then
            leave(number, size)
        else
            low, due = math.min(low, number), math.min(due, expires)
        end
    end
    return math.max(0, before - count)
end

local function sorted_numbers(position)
    local numbers = {}
    for _, field in ipairs(redis.call('HKEYS', inbox)) do
        local number = tonumber(field)
        if number and number > position then
            numbers[#numbers + 1] = number
        end
    end
    table.sort(numbers)
    return numbers
end

-- An iterator over the numbers above a position, rising. Where they stand close it counts, and some
-- that it names are no longer there; where they are thin it reads and sorts what is there.
local function numbers_above(position)
    local at = math.max(position + 1, low) - 1
    if head - at <= 4 * count then
        return function()
            if at < head then
                at = at + 1
                return at
            end
        end
    end
    local numbers, i = sorted_numbers(position), 0
    return function()
        i = i + 1
        return numbers[i]
    end
end

-- Writes the record and what was dropped; not refused, even as the first to write.
local function save()
    if #gone == 0 then
        be_not_refused()
    end
    for i = 1, #gone, CHUNK do
        redis.call('HDEL', inbox, unpack(gone, i, math.min(i + CHUNK - 1, #gone)))
    end
    redis.call('HSET', meta, 'head', digits(head), 'acked', digits(acked), 'count', digits(count),
        'bytes', digits(bytes), 'low', digits(low), 'due', digits(due))
end

-- Once a day is enough, and spares the two calls on nearly every push.
local function sign_of_life()
    if day ~= today then
        redis.call('PEXPIRE', meta, LIFE_MS) -- first, because it is never refused
        redis.call('HSET', meta, 'day', digits(today))
    end
end

-- Begins a new epoch. What is still there and waits is kept, numbered from 1. The HSET is the first
-- write, so that a push is refused.
local function begin_epoch(fresh)
    local kept = {}
    for _, number in ipairs(sorted_numbers(acked)) do
        local value = redis.call('HGET', inbox, digits(number))
        if parse(value) > now then
            kept[#kept + 1] = value
        end
    end
    redis.call('HSET', meta, 'v', '1', 'epoch', fresh)
    redis.call('DEL', inbox)
    epoch, head, acked, count, bytes, low, due = fresh, #kept, 0, #kept, 0, 1, NEVER
    local last = 0
    for number, value in ipairs(kept) do
        local expires, size = parse(value)
        bytes, due, last = bytes + size, math.min(due, expires), math.max(last, expires)
        redis.call('HSET', inbox, digits(number), value)
    end
    if last > 0 then
        redis.call('PEXPIREAT', inbox, digits(last))
    end
    save()
end

-- Compares with what the node knows; 1: the store has lost numbers and a new epoch has begun. A node
-- that knows another epoch learns of the present one by the answer: were that a loss, every request
-- in its pipeline would begin an epoch of its own. before_epoch, if any, runs before one begins.
local function settle(known_head, known_epoch, fresh, before_epoch)
    local is_lost
    if epoch then
        is_lost = known_head > head and (known_epoch == '' or known_epoch == epoch)
    else
        is_lost = known_epoch ~= '' or known_head > 0
    end
    if is_lost or not epoch then
        if before_epoch then
            before_epoch()
        end
        begin_epoch(fresh)
    end
    return is_lost and 1 or 0
end
