-- Looks one number up, or withdraws numbers.
-- KEYS  5 channel
-- ARGV  1 epoch  2 number  3 '' to look, 'c' to cancel it if it waits, 'p' to take all that waits
-- Answers: 0 or 1 for a number that was never given; fate: 0 waits, 1 acknowledged, 2 gone;
--          its cause or ''; removed; 1 if a session is known to have had it; expired; Redis's words if it
--          would not publish what was withdrawn
local asked, what = tonumber(ARGV[2]), ARGV[3]
if not epoch then
    return { what == 'p' and 0 or 1, 2, '', 0, 0, 0, '' }
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

local function note_removed(from, to)
    local last_run = runs[#runs]
    if last_run and last_run[2] + 1 == from then
        last_run[2] = to
    else
        runs[#runs + 1] = { from, to }
    end
    removed = removed + to - from + 1
end

local function take_all()
    if not has_numbers then
        note_removed(edge + 1, head)
    else
        local numbers, at = nil, edge
        repeat
            numbers = next_numbers(at, head, CHUNK)
            for _, number in ipairs(numbers) do
                at = tonumber(number)
                note_removed(at, at)
            end
        until #numbers < CHUNK
    end
    for _, run in ipairs(runs) do
        record_gap(run[1], run[2], 'c')
    end
    clear_inbox()
end

if what == 'p' then
    if first() then
        take_all()
    end
elseif ARGV[1] == epoch then
    local value = asked > edge and redis.call('HGET', inbox, digits(asked))
    cause = cause_of(asked) or ''
    is_unknown = (asked < 1 or asked > head) and 1 or 0
    local written = tonumber(redis.call('HGET', meta, 'written') or 0)
    is_written = asked <= math.max(acked, written) and 1 or 0
    if value then
        fate, cause = 0, ''
        if what == 'c' then
            leave(asked, value, 'c')
            note_removed(asked, asked)
        end
    elseif cause == '' and asked <= acked then
        fate = 1
    end
end
if is_changed then
    save(false)
end
local refused = ''
for _, run in ipairs(runs) do
    local answer = redis.pcall('SPUBLISH', KEYS[5], string.format('W:%s:%d:%d:c:', epoch, run[1],
        run[2]))
    refused = type(answer) == 'table' and answer.err or refused
end
return { is_unknown, fate, cause, removed, is_written, expired, refused }
