-- Reads the inbox from a position on. A user to whom nothing was ever pushed has no epoch yet.
-- KEYS  1 inbox  2 meta
-- ARGV  1 position, or '' for the acknowledged one  2 most entries  3 most bytes of data
--       4 known head  5 known epoch or ''  6 an epoch to begin
-- Answers: epoch ('' for a user never heard of), head, acked, the number up to which the page is complete, expired,
--          1 if the store had lost something, { number, entry, number, entry ... }
local CHUNK_READ = 64 -- entries read at once: a page of big ones ends long before a chunk of 1000
local max_count, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])

if not epoch and ARGV[5] == '' then -- whatever the known head: it is of no epoch
    return { '', 0, 0, 0, 0, 0, {} }
end
local is_lost = settle(tonumber(ARGV[4]), ARGV[5], ARGV[6], be_not_refused)
local expired = find_expired()
if has_walked then
    save()
end
sign_of_life()

local entries, size_of_page, covered = {}, 0, nil

local function add(number, value)
    local expires, size = parse(value)
    if expires <= now then
        return true
    end
    if #entries > 0 and (#entries >= 2 * max_count or size_of_page + size > max_bytes) then
        return false
    end
    entries[#entries + 1] = number
    entries[#entries + 1] = value
    size_of_page = size_of_page + size
    return true
end

local function add_chunk(numbers)
    local values = redis.call('HMGET', inbox, unpack(numbers))
    for i, value in ipairs(values) do
        if value and not add(numbers[i], value) then
            return false
        end
        covered = numbers[i]
    end
    return true
end

local position = ARGV[1] == '' and acked or tonumber(ARGV[1])
local next_number, is_at_tail = numbers_above(position), false
while true do
    local numbers = {}
    while #numbers < CHUNK_READ do
        local number = next_number()
        if not number then
            is_at_tail = true
            break
        end
        numbers[#numbers + 1] = number
    end
    if #numbers > 0 and not add_chunk(numbers) then
        is_at_tail = false
        break
    end
    if is_at_tail then
        break
    end
end
return { epoch, head, acked, is_at_tail and head or covered or position, expired, is_lost, entries }
