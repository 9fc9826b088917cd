-- Stands after event_record.lua in the scripts that append events.

-- As event_write_offline writes it; of a record "o:LASTSEEN:CAUSE".
local function offline_event(user, record)
    local seen, cause = string.match(record or '', '^o:(%d+):(.*)$')
    return '{"type":"user.offline","userId":' .. string.gsub(cjson.encode(user), '\\/', '/')
        .. ',"lastSeen":' .. (seen or digits(now)) .. ',"cause":"' .. (cause or 'node-lost') .. '"}'
end

-- Numbers and keeps them, each of which takes one with it whose time is over, and pushes out the oldest of
-- a full partition; the newest always stays.
local function put(events, ttl, max_count, max_bytes)
    expire_some(#events)
    local expires = now + ttl
    local before, fields = digits(expires) .. ':' .. digits(now) .. ':0:', {}
    if low > head then
        ends = 0
    end
    for i, data in ipairs(events) do
        fields[2 * i - 1], fields[2 * i] = digits(head + i), before .. data
        bytes = bytes + #data
    end
    is_writing = true -- this may be the first write: a full Redis refuses it
    for i = 1, #fields, 1000 do
        redis.call('HSET', inbox, unpack(fields, i, math.min(i + 999, #fields)))
    end
    head, head_time, due, is_changed = head + #events, now % TIMES, math.min(due, expires), true
    if expires >= ends then
        ends = expires + SPARE_MS
        redis.call('PEXPIREAT', inbox, digits(ends))
    end
    while low < head and (head - math.max(low - 1, acked) > max_count or bytes > max_bytes) do
        local _, size = first()
        take_first(size, 'o')
    end
end

-- Is the last thing that a script does, as in push.lua. Redis's words if it refuses, else ''.
local function publish(ttl)
    local answer = redis.pcall('SPUBLISH', channel, string.format('M:%s:%d:%d:%d:%d:0:0:', epoch, head,
        now, now + ttl, acked))
    return type(answer) == 'table' and answer.err or ''
end
