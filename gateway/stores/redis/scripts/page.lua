-- Reads the inbox where there is more to do than page_fast.lua does; the arguments are there.
-- Answers: epoch ('' for a user never heard of), head, acked, position, devices, start, 1 if that is
--          ARGV[1], the number up to which the page is complete, expired, 1 if the store had lost
--          something, devices forgotten for this one, gaps, { number, entry, number, entry ... }, until
--          when the user is blocked or 0 (page_fast.lua); when head was given, modulo TIMES, or 0
local CHUNK_READ = 64 -- entries read at once: a page of big ones ends long before a chunk of 1000
local is_lost, expired, forgotten = 0, 0, 0

local function bring_up_to_date()
    if epoch or ARGV[6] ~= '' then
        is_lost = settle(known_head, known_time, ARGV[6], ARGV[7])
    else
        begin_epoch(ARGV[7])
    end
    expired = find_expired()
    if not devices then
        load_devices()
    end
    if has_numbers and redis.call('ZCOUNT', numbers_key, '(' .. digits(edge), '+inf') ~= count then
        learn() -- somebody else has taken some of it
    end
    if is_arrival then
        if not devices[device] and flags % HAS_KEYS >= MAX_DEVICES then
            forget_longest_unseen()
            forgotten = 1
        end
        set_device(device, devices[device] and devices[device][1] or acked)
    end
    if is_changed or day ~= today then
        save(true)
    end
end

-- What waits can be shown as it stands.
local function look_only()
    local position_of_device = device ~= '' and redis.call('HGET', meta, 'd!' .. device)
    shared = math.max(acked, tonumber(redis.call('HGET', meta, 'shared') or 0))
    devices = {}
    if position_of_device then
        devices[device] = { tonumber(string.match(position_of_device, '^%d+')) }
    end
end

if not string.find(wishes, 'r', 1, true) then
    bring_up_to_date()
elseif is_known and known_head <= head then
    look_only()
else
    return false -- it would have to be written first
end

local position = shared
if device ~= '' then
    position = devices[device] and math.max(acked, devices[device][1]) or acked
end
is_resumed = after <= head and (ARGV[2] == '' or ARGV[2] == epoch) -- a new epoch may have begun
start = is_resumed and after or position

local entries, size_of_page, covered = {}, 0, nil

local function add(at, value)
    local stays_until, size = parse(value)
    if stays_until <= now then
        return true
    end
    if #entries > 0 and (#entries >= 2 * max_count or size_of_page + size > max_bytes) then
        return false
    end
    entries[#entries + 1] = at
    entries[#entries + 1] = value
    size_of_page = size_of_page + size
    return true
end

local function add_chunk(numbers)
    local values = redis.call('HMGET', inbox, unpack(numbers))
    for i, value in ipairs(values) do
        local at = tonumber(numbers[i])
        if value and not add(at, value) then
            return false
        end
        covered = at
    end
    return true
end

local at, is_at_tail = math.max(start, edge), false
repeat
    local numbers = next_numbers(at, head, CHUNK_READ)
    is_at_tail = #numbers < CHUNK_READ
    if #numbers > 0 then
        at = tonumber(numbers[#numbers])
        if not add_chunk(numbers) then
            is_at_tail = false
            break
        end
    end
until is_at_tail

local page_end = is_at_tail and head or covered or start
local causes = ''
if string.find(wishes, 'w', 1, true)
    or (string.find(wishes, 'g', 1, true) and page_end - start > #entries / 2) then
    load_gaps()
    causes = gaps_text()
end
return { epoch, head, acked, position, flags % HAS_KEYS, start, is_resumed and 1 or 0, page_end,
    expired, is_lost, forgotten, causes, entries, 0, head_time or 0 }
