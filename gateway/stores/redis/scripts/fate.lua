-- What became of a number, for look.lua and withdraw.lua: after common.lua.

local function cause_of(at)
    load_gaps()
    for _, gap in ipairs(gaps) do
        if gap[1] <= at and at <= gap[2] then
            return gap[3]
        end
    end
end

-- Answers: 1 if it was never given, else 0; fate: 0 waits, 1 acknowledged, 2 gone; its cause or '';
--          1 if a session is known to have had it; the entry that waits, else nil
local function fate_of(asked_epoch, asked)
    if asked_epoch ~= epoch then
        return 0, 2, '', 0
    end
    local value = asked > edge and redis.call('HGET', inbox, digits(asked))
    local cause = cause_of(asked) or ''
    local is_unknown = (asked < 1 or asked > head) and 1 or 0
    local written = tonumber(redis.call('HGET', meta, 'written') or 0)
    local is_written = asked <= math.max(acked, written) and 1 or 0
    if value then
        return is_unknown, 0, '', is_written, value
    end
    return is_unknown, (cause == '' and asked <= acked) and 1 or 2, cause, is_written
end
