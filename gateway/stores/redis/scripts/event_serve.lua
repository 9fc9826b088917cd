-- What is due in a partition, for the node that serves it.
-- KEYS  4 on  5 users  6 offline  7 leases: event_presence.lua  8 serve: the NAME of who serves it
--       9 alerts: EPOCH:SEQ:PUSHED:USER by the time when it is due; below 0: event_alert_end.lua
-- ARGV  1 packed: time to live in ms, most events, most bytes, the grace time, how long the lease of a
--       node and that of serving last, when the renewal of a node is late, most users and most alerts of
--       one step, how many alerts are passed over, an epoch to begin
--       2 NAME  3 any of: w (wants to serve), j (may judge), k (user.offline is kept)
-- Answers: 1 if NAME serves it, nodes with a lease, 1 if there was more than one step may do, alerts, when
--          the first is due that is not answered or 0, events that were pushed out and that expired before all had read
--          them, Redis's words if it would not publish; and of each alert that is due: itself, when
local on, users, offline, leases, serve, alerts = KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local ttl, max_count, max_bytes, grace, lease, serving, late, max_users, max_alerts, skip, fresh =
    struct.unpack('<ddddddddddc8', ARGV[1])
local node, wishes = ARGV[2], ARGV[3]
local has_more, has_put, n_nodes, lost = false, false, 1, {}
local hears_since = now -- this node has renewed its lease in time, and does so still

begin_writing()
if not epoch then
    begin_epoch(fresh)
end

-- Nodes whose lease is over, and the others.
local known = redis.call('HGETALL', leases)
for i = 1, #known, 2 do
    local renewed, since, mark = string.match(known[i + 1], '^(%d+):(%d+):(l?)')
    if not renewed or mark == 'l' or math.abs(now - renewed) >= lease then
        lost[#lost + 1] = { known[i], math.min(tonumber(renewed or now), now) }
    elseif known[i] ~= node then
        n_nodes = n_nodes + 1
    elseif now >= tonumber(renewed) and now - renewed < late then
        hears_since = tonumber(since)
    end
end

local owner = redis.call('GET', serve)
local is_mine = string.find(wishes, 'w', 1, true) and (not owner or owner == node)
if is_mine then
    redis.call('SET', serve, node, 'PX', digits(serving))
elseif owner == node then
    redis.call('DEL', serve)
end

-- The user is taken from a node that is lost, which has renewed its lease for the last time then.
local function take_user(user, name, renewed)
    local record = redis.call('HGET', on, user) or ''
    local names, rest = string.match(record, '^n:(.*)$'), {}
    if not names then
        return
    end
    for other in string.gmatch(names, '%S+') do
        if other ~= name then
            rest[#rest + 1] = other
        end
    end
    if #rest > 0 then
        redis.call('HSET', on, user, 'n:' .. table.concat(rest, ' '))
    else
        redis.call('HSET', on, user, 'o:' .. digits(renewed) .. ':node-lost')
        redis.call('ZADD', offline, digits(renewed), user)
    end
end

local function take_users(n)
    local has_found = false
    for _, node_lost in ipairs(lost) do
        local name, renewed = node_lost[1], node_lost[2]
        local key = on .. ':' .. name
        local found = n > 0 and redis.call('ZRANGE', key, '0', digits(n - 1)) or {}
        for _, user in ipairs(found) do
            take_user(user, name, renewed)
        end
        if #found > 0 then
            redis.call('ZREM', key, unpack(found))
            -- It writes all its users again when it is back, also if others of them are still here.
            redis.call('HSET', leases, name, digits(renewed) .. ':0:l')
            has_found = true
        end
        n = n - #found
        if redis.call('EXISTS', key) == 0 then
            redis.call('HDEL', leases, name)
        else
            has_more = true
        end
    end
    if has_found then -- the key may be new
        redis.call('PEXPIRE', offline, LIFE_MS, 'NX')
    end
end

-- By a clock that has gone back since, or of another Redis: what was seen is not later than now.
local function hold_to_now(n)
    local ahead = redis.call('ZRANGE', offline, '(' .. digits(now), '+inf', 'BYSCORE', 'LIMIT', '0',
        digits(n))
    for _, user in ipairs(ahead) do
        local cause = string.match(redis.call('HGET', on, user) or '', '^o:%d+:(.*)$')
        redis.call('HSET', on, user, 'o:' .. digits(now) .. ':' .. (cause or 'node-lost'))
        redis.call('ZADD', offline, digits(now), user)
    end
    has_more = has_more or #ahead == n
end

local function end_users(n)
    local found = redis.call('ZRANGE', offline, '-inf', digits(now - grace), 'BYSCORE', 'LIMIT', '0',
        digits(n))
    if #found == 0 then
        return
    end
    has_more = has_more or #found == n
    local records, events = redis.call('HMGET', on, unpack(found)), {}
    for i, user in ipairs(found) do
        events[i] = offline_event(user, records[i])
    end
    redis.call('HDEL', on, unpack(found))
    redis.call('ZREM', users, unpack(found))
    redis.call('ZREM', offline, unpack(found))
    if string.find(wishes, 'k', 1, true) then
        expire()
        sweep(SWEEP)
        put(events, ttl, max_count, max_bytes)
        has_put = true
    end
end

-- Who has just come, or was just given what others had, does not judge; nor does a node whose own
-- renewals were late: then this Redis, its clock or the node stood still or jumped, which may be why those
-- of the others are late, too.
local began = tonumber(redis.call('HGET', meta, 'began') or now)
if is_mine and string.find(wishes, 'j', 1, true) and math.abs(now - began) >= lease
    and now - hears_since >= lease then
    take_users(max_users)
    hold_to_now(max_users)
    end_users(max_users)
end
local words = ''
if is_changed or day ~= today then
    save()
end
if has_put then
    words = publish(ttl)
end

local answer, next_due, n_alerts = {}, 0, 0
if is_mine then
    n_alerts = redis.call('ZCOUNT', alerts, '0', '+inf')
    if n_alerts > 0 then
        answer = redis.call('ZRANGE', alerts, '0', digits(now), 'BYSCORE', 'LIMIT', digits(skip),
            digits(max_alerts), 'WITHSCORES')
        next_due = redis.call('ZRANGE', alerts, '0', '+inf', 'BYSCORE', 'LIMIT', digits(skip + #answer / 2),
            '1', 'WITHSCORES')[2] or 0
    end
end
for i, part in ipairs({ is_mine and 1 or 0, n_nodes, has_more and 1 or 0, n_alerts, tonumber(next_due),
    overflowed, expired, words }) do
    table.insert(answer, i, part)
end
return answer
