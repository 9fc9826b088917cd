-- Numbers a notification, keeps it and tells every node that has the user online; arguments and
-- answers are in push_fast.lua.
local key = ARGV[10] or ''

if KEYS[4] then
    local seen = redis.call('GET', KEYS[4])
    if seen and string.sub(seen, 1, 16) ~= ARGV[11] then
        return { 0, '', 0, 0, 0, 0, 0, 0, 0, 2 }
    end
    if seen then
        local first = { string.match(seen, '^(%w+):(%d+):(%d+):(%d+)$', 17) }
        local nodes = redis.call('PUBSUB', 'SHARDNUMSUB', KEYS[3])
        return { tonumber(first[2]), first[1], tonumber(first[3]), tonumber(first[4]), nodes[2],
            0, 0, 0, 0, 1 }
    end
end

own_key = key
local is_lost = settle(known_head, ARGV[4], ARGV[5])
local expired, pushed_out, replaced = find_expired(), 0, 0
if flags % HAS_KEYS > 0 and not devices then
    load_devices()
elseif covered > acked and covered <= head and ARGV[4] == epoch then
    drop_up_to(covered)
end

if key ~= '' and flags >= HAS_KEYS then
    local at = tonumber(redis.call('HGET', inbox, 'c!' .. key) or 0)
    local value = at > acked and not is_gone[at] and redis.call('HGET', inbox, digits(at))
    if value then
        leave(at, value, 'l')
        replaced = at
    end
end

local function fits()
    return count <= 0 or (count < max_count and bytes + #data <= max_bytes)
end

if not fits() then
    for at in numbers_above(acked) do
        local value = not is_gone[at] and redis.call('HGET', inbox, digits(at))
        if value then
            leave(at, value, 'o')
            pushed_out = pushed_out + 1
        end
        low = at + 1
        if fits() then
            break
        end
    end
    if not fits() then -- somebody else has taken the entries that were counted
        count = 0
    end
end

if must_clear then
    be_refused()
    clear_inbox()
end
number = head + 1
local entry = string.format('%d:%d:%d:', expires, now, #key) .. key .. data
if key == '' then
    redis.call('HSET', inbox, digits(number), entry)
else
    redis.call('HSET', inbox, digits(number), entry, 'c!' .. key, digits(number))
    flags = flags % HAS_KEYS + HAS_KEYS
end
if count <= 0 then
    count, bytes, low, due = 0, 0, number, NEVER
end
head, count, bytes, due = number, count + 1, bytes + #data, math.min(due, expires)
local must_move = keep_until_expired()
save(true)
if must_move then
    redis.call('PEXPIREAT', inbox, digits(last))
end
if KEYS[4] then
    redis.call('SET', KEYS[4], ARGV[11] .. string.format('%s:%d:%d:%d', epoch, number, now, expires),
        'PX', ARGV[12])
end
return { number, epoch, now, expires, publish(key, replaced), expired, pushed_out, is_lost, replaced,
    0 }
