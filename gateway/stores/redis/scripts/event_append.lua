-- Appends events, one after the other, or none of them.
-- ARGV  1 packed: time to live in ms, most events, most bytes, 1 if it is refused while
--       three quarters of these are there, an epoch to begin  2... the data of each
-- Answers: the number of the first or 0 where it is refused, epoch, time, events that were pushed out
--          and that expired before all had read them, Redis's words if it would not publish
local ttl, max_count, max_bytes, is_bounded, fresh = struct.unpack('<ddddc8', ARGV[1])
takes_memory = true
if not epoch then
    begin_epoch(fresh)
end
expire()
sweep(SWEEP)
if is_bounded == 1 and is_filling(max_count, max_bytes) then
    if is_changed then
        save()
    end
    return { 0, epoch, now, 0, expired, '' }
end
local first = head + 1
put({ unpack(ARGV, 2) }, ttl, max_count, max_bytes)
save()
return { first, epoch, now, overflowed, expired, publish(ttl) }
