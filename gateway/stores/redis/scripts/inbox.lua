-- Stands before common.lua: causes, and what waits in an inbox. No step reads more of it than it
-- takes out, but for the logarithm of what is there.
--
-- What leaves from the front leaves by moving `edge`: its bytes stay in Redis until some later
-- script, 128 entries at a time, has swept them, and count in `bytes` until then. Nothing else counts
-- them.
-- While an inbox is small and no number is missing between edge and head, numbers are counted. Else
-- there is `numbers`, which lasts until the inbox is empty.
-- An entry that expires no earlier than all before it (top) is in order. When one in order has expired,
-- so has everything before it; the others stand in `times`. So those that have expired are the first
-- of `times`, and then all up to some number, which is searched by halves.
local numbers_key, times_key = KEYS[3], KEYS[4]
local CHUNK = 1000 -- unpack() has a limit
local SWEEP = 128
local MAX_GAPS = 64

local gaps, is_gaps_changed -- { from, to, cause }, read when first needed
local is_push = false       -- what this script writes first is refused by a full Redis
local is_writing = false
local is_changed = is_old   -- save() has something to write
local own_key               -- the collapse key of a push: its field stays

local function digits(value)
    return string.format('%d', value)
end

-- When Redis drops the whole inbox: a little after the last entry, so that not every push has to move
-- that.
local function end_of_inbox()
    return (math.floor(top / 2 ^ slack) + 1) * 2 ^ slack
end

-- Writes the record, and other fields of meta. While entries that have left still stand in Redis, an
-- older Herald is told that something is due: it then reads the inbox before it believes `bytes`.
local function write_record(...)
    local is_apart = low <= edge
    local marks = (has_numbers and HAS_NUMBERS or 0) + (has_times and HAS_TIMES or 0)
        + (is_apart and HAS_EDGE or 0) + slack * MARKS
    redis.call('HSET', meta, 'r', struct.pack(LAYOUT, VERSION, epoch, head, acked, low,
        is_apart and 0 or due, top, math.max(0, bytes), count, day, flags) .. string.char(marks)
        .. (head_time and struct.pack('<I4', head_time) or ''), ...)
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

-- Stands before the first write. Neither changes anything that matters: the one is refused by a full
-- Redis, the other never.
local function begin_writing()
    if not is_writing then
        is_writing = true
        if is_push then
            redis.call('HSET', meta, 'v', digits(VERSION))
        else
            redis.call('HDEL', meta, '')
        end
    end
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

-- As above, of numbers that rise.
local function record_each(numbers, cause)
    local from, to
    for _, at in ipairs(numbers) do
        if at - 1 ~= to then
            if from then
                record_gap(from, to, cause)
            end
            from = at
        end
        to = at
    end
    if from then
        record_gap(from, to, cause)
    end
end

-- ---- entries ----

local function clear_inbox()
    begin_writing()
    redis.call('UNLINK', inbox, numbers_key, times_key)
    count, bytes, low, edge, due, top, slack = 0, 0, head + 1, head, NEVER, 0, 0
    has_numbers, has_times, flags = false, false, flags % HAS_KEYS
    is_known, is_changed = true, true
end

-- The inbox ends later, or a sorted set has begun.
local function move_expiry()
    local at = digits(end_of_inbox())
    redis.call('PEXPIREAT', inbox, at)
    if has_numbers then
        redis.call('PEXPIREAT', numbers_key, at)
    end
    if has_times then
        redis.call('PEXPIREAT', times_key, at)
    end
end

-- Adds members to a sorted set: score, member, score, member.
local function add_all(key, pairs_of)
    for i = 1, #pairs_of, 2 * CHUNK do
        redis.call('ZADD', key, unpack(pairs_of, i, math.min(i + 2 * CHUNK - 1, #pairs_of)))
    end
end

local function begin_numbers()
    begin_writing()
    local members = {}
    for at = low, head do
        local text = digits(at)
        members[#members + 1] = text
        members[#members + 1] = text
    end
    add_all(numbers_key, members)
    redis.call('PEXPIREAT', numbers_key, digits(end_of_inbox()))
    has_numbers, is_changed = true, true
end

-- At most n numbers above `position` and up to `to`, rising, as text. Some of those up to `edge` may
-- not be there.
local function next_numbers(position, to, n)
    if has_numbers then
        return redis.call('ZRANGE', numbers_key, '(' .. digits(position), digits(to), 'BYSCORE',
            'LIMIT', '0', digits(n))
    end
    local found = {}
    for at = math.max(position + 1, low), math.min(to, math.max(position, low - 1) + n) do
        found[#found + 1] = digits(at)
    end
    return found
end

-- Takes entries out of Redis, at most CHUNK; false: is not there. What they count is the caller's.
local function remove(numbers, values)
    begin_writing()
    is_changed = true
    local gone = {}
    for i, value in ipairs(values) do
        if value then
            local _, size, key = parse(value)
            bytes = bytes - size
            gone[#gone + 1] = numbers[i]
            if key ~= '' and key ~= own_key
                and redis.call('HGET', inbox, 'c!' .. key) == numbers[i] then
                gone[#gone + 1] = 'c!' .. key
            end
        end
    end
    if #gone > 0 then
        redis.call('HDEL', inbox, unpack(gone))
    end
    if has_numbers then
        redis.call('ZREM', numbers_key, unpack(numbers))
    end
    if has_times and redis.call('ZREM', times_key, unpack(numbers)) > 0 then
        has_times = redis.call('EXISTS', times_key) == 1
    end
end

-- One that waits leaves; without a cause: acknowledged.
local function leave(at, value, cause)
    local is_first, is_clean = at == edge + 1, low > edge
    if not is_first and not has_numbers then
        begin_numbers()
    end
    remove({ digits(at) }, { value })
    count = count - 1
    if is_first then
        edge, low = at, is_clean and at + 1 or low
    end
    if cause then
        record_gap(at, at, cause)
    end
    if count <= 0 then
        clear_inbox()
    end
end

-- Takes n of those out of Redis that have left the inbox.
local function sweep(n)
    while low <= edge and n > 0 do
        local numbers = next_numbers(low - 1, edge, math.min(n, CHUNK))
        if #numbers == 0 then
            low = edge + 1
        else
            remove(numbers, redis.call('HMGET', inbox, unpack(numbers)))
            low, n = tonumber(numbers[#numbers]) + 1, n - #numbers
        end
    end
end

-- All up to a number leave; without a cause: acknowledged.
local function cut(position, cause)
    if position <= edge or count <= 0 then
        return
    end
    local n = position - edge
    if has_numbers then
        n = redis.call('ZCOUNT', numbers_key, '(' .. digits(edge), digits(position))
    end
    if cause and n > 0 then
        record_gap(edge + 1, position, cause)
    end
    count, is_changed = count - n, true
    if count <= 0 then
        clear_inbox()
    else
        edge = position
    end
end

-- ---- the whole inbox, read at once ----

-- Those that wait, rising, and their entries by number; and the numbers of others, as text.
local function read_inbox(highest)
    local all, numbers, values, others = redis.call('HGETALL', inbox), {}, {}, {}
    for i = 1, #all, 2 do
        local at = tonumber(all[i])
        if at and at > edge and at <= highest then
            numbers[#numbers + 1], values[at] = at, all[i + 1]
        elseif at then
            others[#others + 1] = all[i]
        end
    end
    table.sort(numbers)
    return numbers, values, others
end

-- Learns from the entries themselves what an older Herald does not record, or what somebody else has
-- changed: what has expired, how much waits, and who stands in which set.
local function learn()
    begin_writing()
    local numbers, values, others = read_inbox(head)
    redis.call('UNLINK', numbers_key, times_key)
    redis.call('HDEL', meta, 'edge')
    has_numbers, has_times, is_known, is_changed = false, false, true, true
    if #numbers == 0 and #others == 0 and count > 0 then
        record_gap(edge + 1, head, 'e') -- Redis has dropped it all
    end
    local waits, late, in_order, expired = {}, {}, {}, {}
    count, bytes, due, top, slack = 0, 0, NEVER, 0, 0
    for _, at in ipairs(numbers) do
        local expires, size = parse(values[at])
        if expires <= now then
            expired[#expired + 1] = at
        else
            local text = digits(at)
            waits[#waits + 1], waits[#waits + 2] = text, text
            count, bytes, due = count + 1, bytes + size, math.min(due, expires)
            edge = count == 1 and at - 1 or edge
            if expires < top then
                late[#late + 1], late[#late + 2] = digits(expires), text
            end
            top = math.max(top, expires)
        end
    end
    record_each(expired, 'e')
    for _, at in ipairs(expired) do
        others[#others + 1] = digits(at)
    end
    if count == 0 then
        clear_inbox()
        return
    end
    low = edge + 1
    local left = bytes
    for i = 1, #others, CHUNK do
        local some = { unpack(others, i, math.min(i + CHUNK - 1, #others)) }
        remove(some, redis.call('HMGET', inbox, unpack(some)))
    end
    bytes = left
    if count ~= head - edge or count >= BIG then
        has_numbers = true
        add_all(numbers_key, waits)
    end
    if #late > 0 then
        has_times = true
        add_all(times_key, late)
    end
    move_expiry()
end

-- The number and the entry of the first that waits; nil: nothing does.
local function first()
    while count > 0 do
        local number = next_numbers(edge, head, 1)[1]
        local value = number and redis.call('HGET', inbox, number)
        if value then
            return tonumber(number), value
        end
        learn()
    end
end

-- ---- expiry ----

local function expire_late_ones()
    while has_times and count > 0 do
        local numbers = redis.call('ZRANGE', times_key, '-inf', digits(now), 'BYSCORE', 'LIMIT', '0',
            digits(CHUNK))
        if #numbers == 0 then
            return
        end
        if not has_numbers then
            begin_numbers()
        end
        remove(numbers, redis.call('HMGET', inbox, unpack(numbers)))
        local expired = {}
        for _, number in ipairs(numbers) do
            local at = tonumber(number)
            if at > edge then
                expired[#expired + 1] = at
            end
        end
        table.sort(expired)
        record_each(expired, 'e')
        count = count - #expired
        if count <= 0 then
            clear_inbox()
        end
    end
end

-- The last of those that have expired, as text; nil: none has. They are the first of those that wait,
-- once the late ones have left. false: something is missing that should be there.
local function find_last_expired()
    local before = has_numbers and redis.call('ZCOUNT', numbers_key, '-inf', digits(edge)) or 0

    local function look_at(i)
        local number = digits(edge + i)
        if has_numbers then
            local index = digits(before + i - 1)
            number = redis.call('ZRANGE', numbers_key, index, index)[1]
        end
        local value = number and redis.call('HGET', inbox, number)
        if value then
            return number, parse(value) <= now
        end
    end

    local from, to, step, found = 0, count + 1, 1, nil -- from has expired, to has not
    while to - from > 1 do
        local at = math.min(from + step, math.floor((from + to) / 2))
        local number, is_expired = look_at(at)
        if not number then
            return false
        end
        if is_expired then
            from, found, step = at, number, step * 2
        else
            to = at
        end
    end
    return found
end

local function find_next_due()
    local _, value = first()
    if value then
        due = parse(value)
    end
    if value and has_times then
        local soonest = redis.call('ZRANGE', times_key, '0', '0', 'WITHSCORES')[2]
        if not soonest then
            learn()
        else
            due = math.min(due, tonumber(soonest))
        end
    end
end

-- Lets go what has expired, and answers how much that was. `due` spares the look most of the time.
-- Redis may have dropped the whole inbox already: then all of it has expired.
local function find_expired()
    local before = count
    if not epoch or (is_known and (count <= 0 or now < due)) then
        return 0
    end
    is_changed = true
    if count > 0 and now >= top and is_known then
        record_gap(edge + 1, head, 'e')
        clear_inbox()
    elseif not is_known then
        learn()
    else
        expire_late_ones()
        local found = find_last_expired()
        if found == false then
            learn()
        elseif found then
            cut(tonumber(found), 'e')
        end
        find_next_due()
    end
    return math.max(0, before - count)
end

-- Moves the position of the inbox, and lets go what it covers.
local function drop_up_to(position)
    is_changed = true
    if position < head then
        cut(position)
    elseif count > 0 then
        clear_inbox()
    end
    acked, edge = position, math.max(edge, position)
end

