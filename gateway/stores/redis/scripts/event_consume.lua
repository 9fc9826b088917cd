-- Adds or removes a consumer, and shows the partition.
-- ARGV  1 l list, a add, r remove  2 consumer or ''  3 1: begins after the newest event  4 most consumers
--       5 an epoch to begin
-- Answers: 0 nothing has changed, 1 it was added or removed, 2 there are too many; events that the one
--          removed had not acknowledged, epoch or '', head, events, bytes, time of the oldest or 0, events
--          that expired before all had read them, the lowest position that there was; and for each consumer: name, position, events
--          above it, time of the first of these or 0, seen
local action, name = ARGV[1], ARGV[2]
if not epoch and action ~= 'a' then
    return { 0, 0, '', 0, 0, 0, 0, 0, 0 }
end
takes_memory = action == 'a' and not redis.call('HGET', meta, 'd!' .. name)
if not epoch then
    begin_epoch(ARGV[5])
end
expire()
local must_settle = load_consumers()

local function lag_of(position)
    return head - math.max(position, low - 1)
end

local outcome, unread, known = 0, 0, consumers[name]
if action == 'a' and not known then
    outcome = n_consumers < tonumber(ARGV[4]) and 1 or 2
    if outcome == 1 then
        known = { ARGV[3] == '1' and head or math.max(acked, low - 1), now }
        consumers[name], n_consumers = known, n_consumers + 1
    end
elseif action == 'a' then
    known[2], is_changed = now, true
elseif action == 'r' and known then
    outcome, unread, consumers[name], n_consumers = 1, lag_of(known[1]), nil, n_consumers - 1
    must_settle = true
    begin_writing()
    redis.call('HDEL', meta, 'd!' .. name)
end
-- One that is added moves nothing, so that others who begin with it find what it has passed over.
if must_settle then
    settle_acked()
end
sweep(SWEEP)
if action == 'a' and outcome < 2 then
    save(write_consumer(name, known[1]))
elseif outcome == 1 or is_changed then
    save()
end

local times = {} -- of the events that were looked at
local function time_after(position)
    local at = math.max(position + 1, low)
    if at > head then
        return 0
    end
    times[at] = times[at]
        or tonumber(string.match(redis.call('HGET', inbox, digits(at)) or '', '^%d+:(%d+)') or 0)
    return times[at]
end

local answer = { outcome, unread, epoch, head, head - math.max(low - 1, acked), bytes, time_after(acked),
    expired, acked }
for key, consumer in pairs(consumers) do
    for _, part in ipairs({ key, consumer[1], lag_of(consumer[1]), time_after(consumer[1]),
        consumer[2] }) do
        answer[#answer + 1] = part
    end
end
return answer
