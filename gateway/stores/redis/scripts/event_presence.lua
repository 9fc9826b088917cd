-- Writes which users a node has, appends what has become of them, and renews the node's lease.
-- Presence takes little memory and a full Redis must not make nodes look dead, so it is never refused.
-- KEYS  4 on: user -> "n:NAME NAME ..." of the nodes that have the user, or, while the grace time runs,
--         "o:LASTSEEN:CAUSE"  5 users: all of these, to be listed in the order of their bytes
--       6 offline: those whose grace time runs, by LASTSEEN  7 leases: NAME -> "RENEWED:SINCE:", and l if
--         the node has given it up; since SINCE no renewal was late, by the clock that this Redis has now
--       8 on:NAME, the users of this node
-- ARGV  1 packed: time to live in ms, most events, most bytes, when a renewal is late, how long a lease
--       lasts, the grace time, an epoch to begin
--       2 NAME  3 l: it leaves  4 k: user.offline is kept
--       5 the changes, each packed: h (is here) or l (has left), bytes of the user, bytes of what follows,
--         when it came (0: not known) or LASTSEEN; then the user, and what follows: the event of one who
--         was offline, or the cause
-- Answers: 1 if there was no lease, events that were pushed out and that expired before all had read
--          them, Redis's words if it would not publish
local on, users, offline, leases, on_node = KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local ttl, max_count, max_bytes, late, lease, grace, fresh = struct.unpack('<ddddddc8', ARGV[1])
local node, is_leaving, keeps_offline, changes = ARGV[2], ARGV[3] == 'l', ARGV[4] == 'k', ARGV[5]
local events = {}

begin_writing()
if not epoch then
    begin_epoch(fresh)
end
local renewed, since = string.match(redis.call('HGET', leases, node) or '', '^(%d+):(%d+):$')
local is_late = not renewed or now < tonumber(renewed) or now - renewed >= late
-- As in event_serve.lua.
local began = tonumber(redis.call('HGET', meta, 'began') or now)
local may_judge = not is_late and now - since >= lease and math.abs(now - began) >= lease

-- The other nodes that have the user, "" for none; nil: this one has not.
local function without_node(names)
    local from, to = string.find(' ' .. names .. ' ', ' ' .. node .. ' ', 1, true)
    if from then
        local rest = string.sub(names, 1, math.max(0, from - 2)) .. ' ' .. string.sub(names, to)
        return string.match(rest, '^ *(.-) *$')
    end
end

local function come(user, event, came)
    local record = redis.call('HGET', on, user)
    local names = record and string.match(record, '^n:(.*)$')
    if names and without_node(names) then
        return
    end
    redis.call('HSET', on, user, 'n:' .. (names and names .. ' ' or '') .. node)
    redis.call('ZADD', on_node, '0', user)
    if not record then
        redis.call('ZADD', users, '0', user)
        if event ~= '' then
            events[#events + 1] = event
        end
    elseif not names then
        redis.call('ZREM', offline, user)
        local seen = tonumber(string.match(record, '^o:(%d+):') or now)
        if may_judge and came > 0 and math.min(came, now) - seen >= grace then -- and nobody has looked yet
            if keeps_offline then
                events[#events + 1] = offline_event(user, record)
            end
            if event ~= '' then
                events[#events + 1] = event
            end
        end
    end
end

local function leave(user, last_seen, cause)
    local record = redis.call('HGET', on, user)
    local names = record and string.match(record, '^n:(.*)$')
    local rest = names and without_node(names)
    if not rest then
        return
    end
    redis.call('ZREM', on_node, user)
    if rest ~= '' then
        redis.call('HSET', on, user, 'n:' .. rest)
        return
    end
    local seen = digits(math.min(last_seen, now))
    redis.call('HSET', on, user, 'o:' .. seen .. ':' .. cause)
    redis.call('ZADD', offline, seen, user)
end

local at = 1
while at <= #changes do
    local kind, user_len, rest_len, time, from = struct.unpack('<c1BI4d', changes, at)
    local user = string.sub(changes, from, from + user_len - 1)
    at = from + user_len + rest_len
    local rest = string.sub(changes, from + user_len, at - 1)
    if kind == 'h' then
        come(user, rest, time)
    else
        leave(user, time, rest)
    end
end

if is_leaving and redis.call('EXISTS', on_node) == 0 then
    redis.call('HDEL', leases, node)
else
    redis.call('HSET', leases, node, digits(now) .. ':' .. (is_late and digits(now) or since)
        .. (is_leaving and ':l' or ':'))
end
if not renewed or math.floor(renewed / DAY_MS) ~= today then
    for i = 4, 8 do
        redis.call('PEXPIRE', KEYS[i], LIFE_MS)
    end
elseif #changes > 0 then -- some of the keys may be new
    for i = 4, 8 do
        redis.call('PEXPIRE', KEYS[i], LIFE_MS, 'NX')
    end
end
local words = ''
if #events > 0 then
    expire()
    sweep(SWEEP)
    put(events, ttl, max_count, max_bytes)
    save()
    words = publish(ttl)
elseif is_changed or day ~= today then
    save()
end
return { renewed and 0 or 1, overflowed, expired, words }
