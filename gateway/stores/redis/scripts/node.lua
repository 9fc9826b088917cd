-- What the nodes of a fleet say of themselves. Stands alone, and is information: nothing depends on it.
-- KEYS  1 nodes: a hash, name of a node -> "SEEN:" and what the node said, SEEN in ms since 1970
-- ARGV  1 the name of this node  2 what it says; empty: it leaves  3 for how many ms a record stays
-- Answers: { now in ms since 1970, name, record, name, record ... }
local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local kept_ms = tonumber(ARGV[3])
if ARGV[2] == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
else
    redis.call('HSET', KEYS[1], ARGV[1], string.format('%d:', now_ms) .. ARGV[2])
end
local known = redis.call('HGETALL', KEYS[1])
local answer = { now_ms }
for i = 1, #known, 2 do
    local seen_ms = tonumber(string.match(known[i + 1], '^(%d+):'))
    if not seen_ms or math.abs(now_ms - seen_ms) > kept_ms then -- the clock may have been set back
        redis.call('HDEL', KEYS[1], known[i])
    else
        answer[#answer + 1] = known[i]
        answer[#answer + 1] = known[i + 1]
    end
end
redis.call('PEXPIRE', KEYS[1], kept_ms)
return answer
