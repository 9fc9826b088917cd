-- Blocks a user, or lifts the block. Stands alone: a block needs no record of the user.
-- KEYS  1 block: a string that leaves with the block; its expiry is what counts
-- ARGV  1 for how many milliseconds; 0 lifts it
-- Answers: until when, in ms since 1970, or 0
if ARGV[1] == '0' then
    redis.call('DEL', KEYS[1])
    return 0
end
local clock = redis.call('TIME')
local until_ms = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
local digits = string.format('%d', until_ms)
redis.call('SET', KEYS[1], digits, 'PXAT', digits)
return until_ms
