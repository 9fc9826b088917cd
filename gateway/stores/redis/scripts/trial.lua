-- Is Herald's Redis user allowed all that the scripts do, and are writes taken? Asked for a user who
-- cannot exist, {%}: nothing is left over, and but for HSET nothing is written.
-- KEYS  1 inbox  2 meta  3 numbers  4 channel  5 idempotency key  6 block
-- Answers: '' or Redis's words for what it refused, with the command; what that means: 1 scripts would
--          break off there, 2 what they keep is not published
local inbox, meta, numbers, channel, idem, block = unpack(KEYS)
local needed = {
    { 'SET', idem, '', 'XX' }, -- first: Redis looks at its memory and its disk before the first write
    { 'TIME' }, { 'GET', idem }, { 'PTTL', inbox }, { 'PEXPIRETIME', block },
    { 'SET', block, '', 'XX' }, { 'DEL', block },
    { 'HGET', meta, '' }, { 'HMGET', meta, '' }, { 'HGETALL', inbox }, { 'EXISTS', numbers },
    { 'ZRANGE', numbers, '0', '0' }, { 'ZCOUNT', numbers, '0', '0' },
    { 'HSET', inbox, '', '' }, { 'HSET', meta, '', '' }, { 'ZADD', numbers, 'XX', '0', '' },
    { 'PEXPIREAT', inbox, '1' }, { 'PEXPIRE', meta, '1' },
    { 'HDEL', inbox, '' }, { 'HDEL', meta, '' }, { 'ZREM', numbers, '' },
    { 'UNLINK', inbox, meta, numbers },
}
-- What a script does last, or no script does: without it the others still keep.
local others = {
    { 'SPUBLISH', channel, '' }, { 'PUBSUB', 'SHARDNUMSUB', channel },
    { 'GETDEL', idem },
}

-- Redis's words, and the command if it is the right to it, or with it, that is missing.
local function find_refused(calls)
    for _, call in ipairs(calls) do
        local answer = redis.pcall(unpack(call))
        local words = type(answer) == 'table' and answer.err
        if words then
            local name = call[1] == 'PUBSUB' and 'PUBSUB|SHARDNUMSUB' or call[1]
            local is_denial = string.find(words, '^NOPERM') or string.find(words, '^ERR The user')
            return is_denial and words .. ' (' .. name .. ')' or words, name
        end
    end
end

local refused, name = find_refused(needed)
if refused then
    return { refused, 1 }
end
refused, name = find_refused(others)
return { refused or '', name == 'SPUBLISH' and 2 or 0 }
