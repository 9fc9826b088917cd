-- Moves the position of a consumer; what all have acknowledged leaves.
-- ARGV  1 epoch  2 number  3 consumer; '': nothing moves
-- Answers: 0 done, 1 another epoch or a number that was never given, 2 there is no such consumer
local name, position = ARGV[3], tonumber(ARGV[2])
local before = redis.call('HGET', meta, 'd!' .. name)
if name ~= '' and not before then
    return 2
end
if ARGV[1] ~= epoch or position > head then
    return 1
end
if name == '' then
    return 0
end
before = tonumber(string.match(before, '^%d+'))
position = math.max(before, position)
if position > before then -- it need not have been the lowest: a consumer that begins moves nothing
    load_consumers(name)
    consumers[name] = { position, now }
    settle_acked()
end
sweep(SWEEP)
if is_changed then
    save(write_consumer(name, position))
else
    begin_writing()
    redis.call('HSET', meta, write_consumer(name, position))
end
return 0
