-- Takes a pending alert away, and appends its event. One that becomes an event stays, by the time of its
-- push below 0, so that a repeat of the push does not write it again.
-- KEYS  4 alerts: event_alerts.lua
-- ARGV  1 packed: time to live in ms, most events, most bytes, an epoch to begin  2 the alert  3 the data
--       of the event; '': none
-- Answers: events that were pushed out and that expired before all had read them, Redis's words if it
--          would not publish
local ttl, max_count, max_bytes, fresh = struct.unpack('<dddc8', ARGV[1])
begin_writing()
if ARGV[3] == '' then
    redis.call('ZREM', KEYS[4], ARGV[2])
    return { 0, 0, '' }
end
local pushed = string.match(ARGV[2], '^[^:]*:[^:]*:(%d+):')
if redis.call('ZADD', KEYS[4], 'XX', 'LT', 'CH', '-' .. pushed, ARGV[2]) == 0 then
    return { 0, 0, '' }
end
if not epoch then
    begin_epoch(fresh)
end
expire()
sweep(SWEEP)
put({ ARGV[3] }, ttl, max_count, max_bytes)
save()
return { overflowed, expired, publish(ttl) }
