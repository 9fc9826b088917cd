-- The acknowledgement as it nearly always is: all that was ever pushed, in an inbox without devices.
-- It stands before the functions of inbox.lua and common.lua, as push_fast.lua does, and what it does
-- not decide goes on to ack.lua.
-- ARGV  1 epoch  2 number  3 device or ''  4 1 if the shared position is held  5 highest number written
-- Answers: 0: done; and ack.lua: 0 done, 1 another epoch or a number that was never given; expired
if is_known and ARGV[3] == '' and flags % HAS_KEYS == 0 and day == today and ARGV[1] == epoch
    and ARGV[2] == string.format('%d', head) and not has_edge and (count == 0 or now < due) then
    if acked < head then
        -- Neither is refused by a full Redis if it stands first, and then the next is not either.
        if count > 0 then
            redis.call('UNLINK', inbox, KEYS[3], KEYS[4])
        else
            redis.call('HDEL', meta, '')
        end
        redis.call('HSET', meta, 'r', struct.pack(head_time and LAYOUT_TIMED or LAYOUT_MARKED, VERSION,
            epoch, head, head, head + 1, NEVER, 0, 0, 0, day, 0, 0, head_time))
    end
    return 0
end
