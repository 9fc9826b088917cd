-- Withdraws one number if it waits, or all that wait.
-- KEYS  5 channel
-- ARGV  1 epoch  2 number  3 'a' to withdraw all: then 1 and 2 mean nothing
-- Answers: of the one number before: 0 or 1 if it was never given; fate: 0 waits, 1 acknowledged, 2 gone;
--          its cause or ''; 1 if a session is known to have had it; expired; removed; Redis's words if it
--          would not publish what was withdrawn
local is_all = ARGV[3] == 'a'
if not epoch then
    return { is_all and 0 or 1, 2, '', 0, 0, 0, '' }
end
local expired = find_expired()
load_devices()

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

local is_unknown, fate, cause, is_written, value = 0, 2, '', 0, nil
if not is_all then
    local asked = tonumber(ARGV[2])
    is_unknown, fate, cause, is_written, value = fate_of(ARGV[1], asked)
    if value then
        leave(asked, value, 'c')
        note_removed(asked, asked)
    end
elseif first() then
    take_all()
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
return { is_unknown, fate, cause, is_written, expired, removed, refused }
