-- Looks one number up, or withdraws numbers.
-- KEYS  3 channel
-- ARGV  1 epoch  2 number  3 '' to look, 'c' to cancel it if it waits, 'p' to take all that waits
-- Answers: 0 or 1 for a number that was never given; fate: 0 waits, 1 acknowledged, 2 gone;
--          its cause or ''; removed; 1 if a session is known to have had it; expired
local asked, what = tonumber(ARGV[2]), ARGV[3]
if not epoch then
    return { what == 'p' and 0 or 1, 2, '', 0, 0, 0 }
end
local expired = find_expired()
load_devices()

local function cause_of(at)
    load_gaps()
    for _, gap in ipairs(gaps) do
        if gap[1] <= at and at <= gap[2] then
            return gap[3]
        end
    end
end

local is_unknown, fate, cause, is_written = 0, 2, '', 0
local removed, runs = 0, {} -- how many, and each run of them: what lies between left before

local function note_removed(at)
    local last = runs[#runs]
    if last and last[2] + 1 == at then
        last[2] = at
    else
        runs[#runs + 1] = { at, at }
    end
    removed = removed + 1
end

if what == 'p' then
    for at in numbers_above(acked) do
        local value = not is_gone[at] and redis.call('HGET', inbox, digits(at))
        if value then
            leave(at, value, 'c')
            note_removed(at)
        end
    end
    low, due = head + 1, NEVER
elseif ARGV[1] == epoch then
    local value = asked > acked and not is_gone[asked] and redis.call('HGET', inbox, digits(asked))
    cause = cause_of(asked) or ''
    is_unknown = (asked < 1 or asked > head) and 1 or 0
    local written = tonumber(redis.call('HGET', meta, 'written') or 0)
    is_written = asked <= math.max(acked, written) and 1 or 0
    if value then
        fate, cause = 0, ''
        if what == 'c' then
            leave(asked, value, 'c')
            note_removed(asked)
        end
    elseif cause == '' and asked <= acked then
        fate = 1
    end
end
if is_changed then
    save(false)
end
for _, run in ipairs(runs) do
    redis.call('SPUBLISH', KEYS[3], string.format('W:%s:%d:%d:c:', epoch, run[1], run[2]))
end
return { is_unknown, fate, cause, removed, is_written, expired }
