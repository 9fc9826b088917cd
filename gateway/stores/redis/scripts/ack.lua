-- Moves a position, and with it the inbox's where that is the lowest; the arguments are in
-- ack_fast.lua.
local position, device = tonumber(ARGV[2]), ARGV[3]
if ARGV[1] ~= epoch or position > head then
    return { 1, 0 }
end
local expired = find_expired() -- first: what has expired cannot be acknowledged any more
load_devices()
if device == '' then
    shared = math.max(shared, position)
elseif devices[device] then
    set_device(device, math.max(devices[device][1], position))
end
is_changed = is_changed or position > acked
settle_acked(ARGV[4] == '1')

local written = math.max(position, math.min(head, tonumber(ARGV[5])))
if written > acked and written > tonumber(redis.call('HGET', meta, 'written') or 0) then
    set('written', digits(written))
    is_changed = true
end
if is_changed or day ~= today then
    save(true)
end
return { 0, expired }
