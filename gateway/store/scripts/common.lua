-- Stands before the scripts, behind record.lua: expiry, causes, positions, epochs. What is to be
-- written is gathered in these, and save() writes it.
local MONTH_MS, LIFE_MS = 30 * 86400000, '2678400000' -- 30 days, and the one that `day` may be old
local CHUNK = 1000 -- unpack() has a limit
local MAX_GAPS, MAX_DEVICES = 64, 8
local micros = clock[1] * 1000000 + clock[2]

local gone, is_gone = {}, {}  -- fields of the inbox that leave; the numbers among them
local must_clear = false      -- the whole inbox leaves
local gaps, is_gaps_changed   -- { from, to, cause }, read when first needed
local devices, shared         -- name -> { position, seen }, read when first needed
local meta_gone = {}          -- fields of meta that leave
local meta_set = {}           -- and others to be written: name, value, name, value
local is_changed = is_old     -- save() has something to write
local own_key                 -- the collapse key of a push: its field stays
local is_begun = false        -- by begin_epoch

local function digits(value)
    return string.format('%d', value)
end

-- When an entry expires, the bytes of its data, its collapse key. What is no entry has expired long
-- ago.
local function parse(value)
    local expires, length, at = string.match(value, '^(%d+):%d+:(%d+):()')
    if not expires then
        return 0, 0, ''
    end
    length = tonumber(length)
    return tonumber(expires), #value - at + 1 - length, string.sub(value, at, at + length - 1)
end

-- ---- causes ----

local function load_gaps()
    if gaps then
        return
    end
    gaps = {}
    local text = redis.call('HGET', meta, 'gaps') or ''
    for from, to, cause in string.gmatch(text, '(%d+)%-(%d+):(%l)') do
        gaps[#gaps + 1] = { tonumber(from), tonumber(to), cause }
    end
end

local function gaps_text()
    local list = {}
    for i, gap in ipairs(gaps) do
        list[i] = string.format('%d-%d:%s', gap[1], gap[2], gap[3])
    end
    return table.concat(list, ',')
end

local function put_gap(list, from, to, cause)
    local top = list[#list]
    if top and top[2] + 1 == from and top[3] == cause then
        top[2] = to
    else
        list[#list + 1] = { from, to, cause }
    end
end

-- Records that from..to have left, except those of which a cause is known already.
local function record_gap(from, to, cause)
    load_gaps()
    is_gaps_changed, is_changed = true, true
    local top = gaps[#gaps]
    if not top or top[2] < from then
        put_gap(gaps, from, to, cause)
    else
        local merged = {}
        for _, gap in ipairs(gaps) do
            if from <= to and from < gap[1] then
                put_gap(merged, from, math.min(to, gap[1] - 1), cause)
            end
            put_gap(merged, gap[1], gap[2], gap[3])
            from = math.max(from, gap[2] + 1)
        end
        if from <= to then
            put_gap(merged, from, to, cause)
        end
        gaps = merged
    end
    while #gaps > MAX_GAPS do
        gaps[2] = { gaps[1][1], gaps[2][2], 'u' }
        table.remove(gaps, 1)
    end
end

-- ---- entries ----

-- An entry leaves; without a cause: acknowledged.
local function leave(at, value, cause)
    local _, size, key = parse(value)
    gone[#gone + 1] = digits(at)
    is_gone[at] = true
    if key ~= '' and key ~= own_key then
        gone[#gone + 1] = 'c!' .. key
    end
    count, bytes, is_changed = count - 1, bytes - size, true
    if cause then
        record_gap(at, at, cause)
    end
end

local function sorted_numbers(position)
    local numbers = {}
    for _, field in ipairs(redis.call('HKEYS', inbox)) do
        local at = tonumber(field)
        if at and at > position and not is_gone[at] then
            numbers[#numbers + 1] = at
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

-- Drops what has expired and answers how much that was. `due` spares the walk most of the time. Redis
-- may have dropped the whole inbox already: then all of it has expired.
local function find_expired()
    if count <= 0 or now < due then
        return 0
    end
    is_changed = true
    local before, all, numbers, values = count, redis.call('HGETALL', inbox), {}, {}
    for i = 1, #all, 2 do
        local at = tonumber(all[i])
        if at and at > acked and not is_gone[at] then
            numbers[#numbers + 1], values[at] = at, all[i + 1]
        end
    end
    if #all == 0 then
        record_gap(math.max(acked + 1, low), head, 'e')
        last, flags = 0, flags % HAS_KEYS
    end
    table.sort(numbers)
    local n = #numbers
    count, bytes, low, due = n, 0, head + 1, NEVER
    for i = n, 1, -1 do
        local stays_until, size = parse(values[numbers[i]])
        bytes = bytes + size
        if stays_until > now then
            low, due = numbers[i], math.min(due, stays_until)
            numbers[i] = false
        end
    end
    for i = 1, n do
        if numbers[i] then
            leave(numbers[i], values[numbers[i]], 'e')
        end
    end
    return math.max(0, before - count)
end

-- Moves the position of the inbox, and drops what it covers.
local function drop_up_to(position)
    is_changed = true
    if position == head then
        must_clear, gone, is_gone = true, {}, {}
        count, bytes, due, flags = 0, 0, NEVER, flags % HAS_KEYS
    else
        local numbers = {}
        for at in numbers_above(acked) do
            if at > position then
                break
            end
            numbers[#numbers + 1] = at
        end
        for i = 1, #numbers, CHUNK do
            local to = math.min(i + CHUNK - 1, #numbers)
            for j, value in ipairs(redis.call('HMGET', inbox, unpack(numbers, i, to))) do
                local at = numbers[i + j - 1]
                if value and not is_gone[at] then
                    leave(at, value)
                end
            end
        end
    end
    acked, low = position, math.max(low, position + 1)
end

-- ---- positions ----

-- Moves `acked` to the lowest of the positions that count.
local function settle_acked(is_held)
    local lowest = (is_held or flags % HAS_KEYS == 0) and shared or NEVER
    for _, device in pairs(devices) do
        lowest = math.min(lowest, device[1])
    end
    if lowest > acked and lowest <= head then
        drop_up_to(lowest)
    end
    shared = math.max(shared, acked)
end

local function set_device(name, position)
    if not devices[name] then
        flags = flags + 1
    end
    devices[name] = { position, micros }
    is_changed = true
end

local function forget_device(name)
    devices[name] = nil
    meta_gone[#meta_gone + 1] = 'd!' .. name
    flags, is_changed = flags - 1, true
    if flags % HAS_KEYS == 0 then
        meta_gone[#meta_gone + 1] = 'shared'
    end
end

-- Whoever was not seen for 30 days is forgotten. Whether the shared position is held is not known
-- here, so it counts.
local function load_devices()
    devices, shared = {}, acked
    if flags % HAS_KEYS == 0 then
        return
    end
    local all, n = redis.call('HGETALL', meta), 0
    for i = 1, #all, 2 do
        local name = string.match(all[i], '^d!(.+)$')
        local position, seen = string.match(all[i + 1], '^(%d+):(%d+)$')
        if all[i] == 'shared' then
            shared = math.max(acked, tonumber(all[i + 1]))
        elseif name and position then
            devices[name], n = { tonumber(position), tonumber(seen) }, n + 1
        end
    end
    flags = flags - flags % HAS_KEYS + n
    local unseen = {}
    for name, device in pairs(devices) do
        if micros - device[2] > MONTH_MS * 1000 then
            unseen[#unseen + 1] = name
        end
    end
    for _, name in ipairs(unseen) do
        forget_device(name)
    end
    if #unseen > 0 then
        settle_acked(true)
    end
end

local function forget_longest_unseen()
    local oldest
    for name, device in pairs(devices) do
        if not oldest or device[2] < devices[oldest][2] then
            oldest = name
        end
    end
    forget_device(oldest)
end

local function set(name, value)
    meta_set[#meta_set + 1] = name
    meta_set[#meta_set + 1] = value
end

local function set_devices()
    for name, device in pairs(devices or {}) do
        set('d!' .. name, string.format('%d:%d', device[1], device[2]))
    end
    if devices and next(devices) then
        set('shared', digits(shared))
    end
end

-- ---- writing ----

-- Changes nothing, but is a write that Redis never refuses.
local function be_not_refused()
    redis.call('HDEL', meta, '')
end

-- Changes nothing that matters, but is a write that a full Redis refuses.
local function be_refused()
    redis.call('HSET', meta, 'v', digits(VERSION))
end

local function clear_inbox()
    redis.call('DEL', inbox)
    must_clear, last = false, 0
end

-- Writes all that was gathered; not refused, even as the first to write. A sign of life keeps the
-- record for 30 days; once a day is enough.
local function save(is_alive)
    if must_clear then
        clear_inbox()
    elseif #gone == 0 then
        be_not_refused()
    end
    for i = 1, #gone, CHUNK do
        redis.call('HDEL', inbox, unpack(gone, i, math.min(i + CHUNK - 1, #gone)))
    end
    gone = {}
    if count == 0 then
        last = 0
    end
    local must_renew = is_alive and day ~= today
    if must_renew then
        day = today
    end
    set_devices()
    if is_gaps_changed then
        set('gaps', gaps_text())
    end
    if is_old or is_begun then
        set('v', digits(VERSION))
    end
    if is_old then
        redis.call('HDEL', meta, 'epoch', 'head', 'acked', 'count', 'bytes', 'low', 'due', 'day')
    end
    if #meta_gone > 0 then
        redis.call('HDEL', meta, unpack(meta_gone))
    end
    redis.call('HSET', meta, 'r', pack(), unpack(meta_set))
    if must_renew then
        redis.call('PEXPIRE', meta, LIFE_MS)
    end
end

-- Begins a new epoch. What is still there and waits is kept, numbered from 1; devices have seen none
-- of it. The first write is one that a full Redis refuses.
local function begin_epoch(fresh)
    load_devices()
    local kept = {}
    for _, at in ipairs(sorted_numbers(acked)) do
        local value = redis.call('HGET', inbox, digits(at))
        if parse(value) > now then
            kept[#kept + 1] = value
        end
    end
    be_refused()
    redis.call('DEL', inbox)
    redis.call('HDEL', meta, 'gaps', 'written')
    gone, is_gone, must_clear, gaps, is_gaps_changed = {}, {}, false, {}, false
    is_begun, is_changed = true, true
    epoch, head, acked, shared, count, bytes, low, due, last = fresh, #kept, 0, 0, #kept, 0, 1, NEVER, 0
    flags = flags % HAS_KEYS
    for _, device in pairs(devices) do
        device[1] = 0
    end
    for at, value in ipairs(kept) do
        local stays_until, size, key = parse(value)
        bytes, due, last = bytes + size, math.min(due, stays_until), math.max(last, stays_until)
        redis.call('HSET', inbox, digits(at), value)
        if key ~= '' then
            redis.call('HSET', inbox, 'c!' .. key, digits(at))
            flags = flags % HAS_KEYS + HAS_KEYS
        end
    end
    if last > 0 then
        redis.call('PEXPIREAT', inbox, digits(last))
    end
end

-- Compares with what the node knows; 1: the store has lost numbers and a new epoch has begun. A node
-- that knows another epoch learns of the present one by the answer: were that a loss, every request
-- in its pipeline would begin an epoch of its own. before_epoch, if any, runs before one begins.
local function settle(known, known_epoch, fresh, before_epoch)
    local is_lost
    if epoch then
        is_lost = known > head and (known_epoch == '' or known_epoch == epoch)
    else
        is_lost = known_epoch ~= '' or known > 0
    end
    if is_lost or not epoch then
        if before_epoch then
            before_epoch()
        end
        begin_epoch(fresh)
    end
    return is_lost and 1 or 0
end
