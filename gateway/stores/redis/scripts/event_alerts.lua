-- Keeps alerts of pushes until they are due; one that is there already is there once.
-- One that has become an event is there, too, by the time of its push below 0, for as long as the push may
-- be repeated; of these at most as many as may be pending.
-- KEYS  4 alerts: EPOCH:SEQ:PUSHED:USER by the time when it is due
-- ARGV  1 packed: most events, most bytes, most alerts, how long a push may be repeated  2... of each alert: when it is due, itself
-- Answers: for each alert 0, or 1: too many are pending, or three quarters of the partition are full;
--          events that expired before all had read them
local max_count, max_bytes, max_alerts, window = struct.unpack('<dddd', ARGV[1])
local alerts, answer = KEYS[4], {}
takes_memory = true
expire()
local is_full = is_filling(max_count, max_bytes)
local n = redis.call('ZCOUNT', alerts, '0', '+inf')
for i = 2, #ARGV, 2 do
    local added = redis.call('ZADD', alerts, 'NX', ARGV[i], ARGV[i + 1])
    local is_refused = added == 1 and (is_full or n >= max_alerts)
    if is_refused then
        redis.call('ZREM', alerts, ARGV[i + 1])
    else
        n = n + added
    end
    answer[#answer + 1] = is_refused and 1 or 0
end

local old = redis.call('ZRANGE', alerts, '(-' .. digits(now - window), '(0', 'BYSCORE', 'LIMIT', '0', '64')
local n_over = math.min(redis.call('ZCOUNT', alerts, '-inf', '(0') - #old - max_alerts, 64)
if n_over > 0 then
    old = redis.call('ZRANGE', alerts, '(0', '-inf', 'BYSCORE', 'REV', 'LIMIT', '0', digits(n_over))
end
if #old > 0 then
    redis.call('ZREM', alerts, unpack(old))
end
redis.call('PEXPIRE', alerts, '5356800000')
if epoch and is_changed then
    save()
end
answer[#answer + 1] = expired
return answer
