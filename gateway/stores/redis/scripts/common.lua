-- Precedes the scripts, after record.lua and inbox.lua: positions, epochs, and save(), which
-- writes what was gathered in these. A script that knows what the node knows calls settle() first:
-- where Redis has lost something, all that follows is of the new epoch.
local MONTH_MS, LIFE_MS = 30 * 86400000, '2678400000' -- 30 days, and the one that `day` may be old
local MAX_DEVICES = 8
local micros = clock[1] * 1000000 + clock[2]

local devices, shared  -- name -> { position, seen }, read when first needed
local meta_gone = {}   -- fields of meta that leave
local meta_set = {}    -- and others to be written: name, value, name, value
local is_begun = false -- by begin_epoch

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

-- A device that was not seen for 30 days is forgotten. Whether the shared position is held is not known
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

-- Writes all that was gathered. A sign of life keeps the record for 30 days; once a day is enough.
local function save(is_alive)
    begin_writing()
    sweep(SWEEP)
    if low <= edge then
        set('edge', digits(edge))
    elseif has_edge then
        meta_gone[#meta_gone + 1] = 'edge'
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
    write_record(unpack(meta_set))
    if must_renew then
        redis.call('PEXPIRE', meta, LIFE_MS)
    end
end

-- Puts an entry after all others, and answers whether a sorted set has begun.
local function put_last(number, entry, expires, key)
    local text = digits(number)
    if key == '' then
        redis.call('HSET', inbox, text, entry)
    else
        redis.call('HSET', inbox, text, entry, 'c!' .. key, text)
        flags = flags % HAS_KEYS + HAS_KEYS
    end
    if has_numbers then
        redis.call('ZADD', numbers_key, text, text)
    end
    if expires >= top then
        return false
    end
    redis.call('ZADD', times_key, digits(expires), text)
    local has_begun = not has_times
    has_times = true
    return has_begun
end

-- Begins a new epoch. What is still there and waits is kept, numbered from 1; devices have seen none
-- of it.
local function begin_epoch(fresh)
    if epoch and not is_known then
        learn()
    end
    load_devices()
    local numbers, values = read_inbox(NEVER)
    begin_writing()
    clear_inbox()
    redis.call('HDEL', meta, 'gaps', 'written', 'edge')
    gaps, is_gaps_changed, is_begun = {}, false, true
    epoch, head, acked, shared, low, edge, head_time = fresh, 0, 0, 0, 1, 0, false
    for _, device in pairs(devices) do
        device[1] = 0
    end
    has_numbers = #numbers >= BIG
    for _, at in ipairs(numbers) do
        local expires, size, key = parse(values[at])
        if expires > now then
            head, count, bytes = head + 1, count + 1, bytes + size
            due = math.min(due, expires)
            put_last(head, values[at], expires, key)
            top = math.max(top, expires)
        end
    end
    if count > 0 then
        move_expiry()
    end
end

-- Was the number that the node knows given at another time? Not, as far as is known, if the entry has
-- left the inbox and a higher number has been given.
local function is_given_again(number, time)
    local given = number == head and head_time
    if not given then
        local value = redis.call('HGET', inbox, digits(number))
        given = value and tonumber(string.match(value, '^%d+:(%d+):') or time) % TIMES
    end
    return given and given ~= time
end

-- Compares with what the node knows; 1: the store has lost numbers and a new epoch has begun. A node
-- that knows another epoch learns of the present one by the answer: were that a loss, every request
-- in its pipeline would begin an epoch of its own.
local function settle(known, known_time, known_epoch, fresh)
    local is_lost
    if epoch then
        is_lost = (known > head and (known_epoch == '' or known_epoch == epoch))
            or (known > 0 and known_time > 0 and known_epoch == epoch
                and is_given_again(known, known_time))
    else
        is_lost = known_epoch ~= '' or known > 0
    end
    if is_lost or not epoch then
        begin_epoch(fresh)
    end
    return is_lost and 1 or 0
end
