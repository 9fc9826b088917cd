-- Looks one number up.
-- ARGV  1 epoch  2 number
-- Answers: 0 or 1 for a number that was never given; fate: 0 waits, 1 acknowledged, 2 gone;
--          its cause or ''; 1 if a session is known to have had it; expired
if not epoch then
    return { 1, 2, '', 0, 0 }
end
local expired = find_expired()
load_devices()
local is_unknown, fate, cause, is_written = fate_of(ARGV[1], tonumber(ARGV[2]))
if is_changed then
    save(false)
end
return { is_unknown, fate, cause, is_written, expired }
