-- Reads events from a position on.
-- ARGV  as page_fast.lua has them, of which 8 is a consumer, and 9 any of: b (begin a partition that is
--       not there), g (tell why numbers are missing), r (writes are refused: only read)
-- Answers: ":" for a partition never heard of; what page.lua answers, where `expired` is 0, and then how
--          many events expired before all had read them, and 1 if the consumer is there
local name, wishes, is_lost = ARGV[8], ARGV[9], 0
local known_head, known_epoch, known_time = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[10])
local can_write = not string.find(wishes, 'r', 1, true)
if not epoch and known_epoch == '' and not string.find(wishes, 'b', 1, true) then
    return ':'
end

-- Was the number that the node knows lost, or given again at another time?
local function has_lost()
    if not epoch or known_epoch ~= epoch then
        return not epoch and (known_epoch ~= '' or known_head > 0)
    end
    local given = known_head == head and head_time
    if known_head < head and known_head >= low and known_time > 0 then
        local value = redis.call('HGET', inbox, digits(known_head))
        given = tonumber(value and string.match(value, '^%d+:(%d+):') or known_time) % TIMES
    end
    return known_head > head or (given and known_head > 0 and known_time > 0 and given ~= known_time)
end

local place = name ~= '' and redis.call('HGET', meta, 'd!' .. name)
if can_write then
    is_lost = has_lost() and 1 or 0
    if is_lost == 1 or not epoch then
        begin_epoch(ARGV[7])
    end
    expire()
    sweep(SWEEP)
    if is_changed or day ~= today then
        save()
    end
elseif not epoch or has_lost() then
    return false -- it would have to be written first
end
local position, seen = string.match(place or digits(acked) .. ':0', '^(%d+):(%d+)$')
position = tonumber(position)
if place and can_write and math.floor(seen / DAY_MS) ~= today then
    begin_writing()
    redis.call('HSET', meta, 'd!' .. name, digits(position) .. ':' .. digits(now))
end
local after = tonumber(ARGV[1] ~= '' and ARGV[1] or NEVER)
local is_resumed = after <= head and (ARGV[2] == '' or ARGV[2] == epoch)
-- Without a consumer what is kept is read from its low end.
local start = is_resumed and after or (name == '' and math.max(acked, low - 1)) or position

local max_count, max_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local entries, at = {}, math.max(start, acked, low - 1)
local last = math.min(head, at + max_count)
if bytes <= max_bytes then
    while at < last do
        local from, numbers = at, {}
        for number = at + 1, math.min(last, at + 1000) do
            numbers[#numbers + 1] = digits(number)
        end
        at = at + #numbers
        for i, value in ipairs(redis.call('HMGET', inbox, unpack(numbers))) do
            if value then
                entries[#entries + 1], entries[#entries + 2] = from + i, value
            end
        end
    end
else -- one by one, so that none is read that has no room
    local size = 0
    while at < last do
        local value = redis.call('HGET', inbox, digits(at + 1))
        size = size + (value and #value + 1 - string.match(value, '^%d+:%d+:%d+:()') or 0)
        if value and #entries > 0 and size > max_bytes then
            break
        end
        at = at + 1
        if value then
            entries[#entries + 1], entries[#entries + 2] = at, value
        end
    end
end

local causes = ''
if string.find(wishes, 'g', 1, true) and at - start > #entries / 2 then
    causes = redis.call('HGET', meta, 'gaps') or ''
end
return { epoch, head, acked, position, n_consumers, start, is_resumed and 1 or 0, at, 0, is_lost, 0,
    causes, entries, 0, head_time, expired, place and 1 or 0 }
