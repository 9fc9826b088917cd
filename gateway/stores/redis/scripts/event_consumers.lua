-- Stands after event_record.lua in the scripts that may need all consumers.
local MONTH_MS = 30 * DAY_MS
local consumers = {} -- name -> { position, seen }

-- Moves `acked` to the lowest position; without consumers it stays.
local function settle_acked()
    local lowest = NEVER
    for _, consumer in pairs(consumers) do
        lowest = math.min(lowest, consumer[1])
    end
    if lowest > acked and lowest <= head then
        acked, is_changed = lowest, true
    end
end

-- One that was not seen for 30 days is forgotten, if it is not the one that is seen now. Answers whether one
-- was.
local function load_consumers(caller)
    local all, has_forgotten = redis.call('HGETALL', meta), false
    n_consumers = 0
    for i = 1, #all, 2 do
        local name = string.match(all[i], '^d!(.+)$')
        local position, seen = string.match(all[i + 1], '^(%d+):(%d+)$')
        if name and position and name ~= caller and now - seen > MONTH_MS then
            begin_writing()
            redis.call('HDEL', meta, all[i])
            is_changed, has_forgotten = true, true
        elseif name and position then
            consumers[name] = { tonumber(position), tonumber(seen) }
            n_consumers = n_consumers + 1
        end
    end
    return has_forgotten
end

local function write_consumer(name, position)
    return 'd!' .. name, digits(position) .. ':' .. digits(now)
end

-- Are three quarters of a partition there? Before that is said, what all have passed over leaves: one that
-- began behind it has moved nothing yet, and there may be no event that it could acknowledge.
local function is_filling(max_count, max_bytes)
    local function is_over()
        return 4 * (head - math.max(low - 1, acked)) >= 3 * max_count or 4 * bytes >= 3 * max_bytes
    end
    if is_over() then
        load_consumers()
        settle_acked()
        while low <= acked and low <= head and 4 * bytes >= 3 * max_bytes do
            sweep(SWEEP) -- what has left already counts in bytes until then
        end
    end
    return is_over()
end
