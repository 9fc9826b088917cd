-- Moves the acknowledged position and drops what it covers.
-- KEYS  1 inbox  2 meta
-- ARGV  1 epoch  2 number
-- Answers: 0 done, 1 another epoch or a number that was never given; expired
local number = tonumber(ARGV[2])
if ARGV[1] ~= epoch or number > head then
    return { 1, 0 }
end
sign_of_life()
if number <= acked then
    return { 0, 0 }
end

local expired = find_expired()
if number == head then
    redis.call('DEL', inbox)
    gone, count, bytes = {}, 0, 0
else
    local covered = {}
    for at in numbers_above(acked) do
        if at > number then
            break
        end
        covered[#covered + 1] = at
    end
    for i = 1, #covered, CHUNK do
        local to = math.min(i + CHUNK - 1, #covered)
        local values = redis.call('HMGET', inbox, unpack(covered, i, to))
        for j, value in ipairs(values) do
            local at = covered[i + j - 1]
            if value and not is_gone[at] then
                local _, size = parse(value)
                leave(at, size)
            end
        end
    end
end
acked, low = number, math.max(low, number + 1)
save()
return { 0, expired }
