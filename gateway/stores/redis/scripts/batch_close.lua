end

local N_KEYS = 5
local keys, args, answers = {}, {}, {}
for i = 1, #KEYS / N_KEYS do
    local at = N_KEYS * (i - 1)
    for k = 1, N_KEYS do
        keys[k] = KEYS[at + k]
    end
    args[1], args[2] = ARGV[2 * i - 1], ARGV[2 * i]
    local is_done, answer = pcall(push_one, keys, args)
    if not is_done then -- Redis's pcall() makes a text of an error of Redis, too
        local text = type(answer) == 'table' and answer.err or tostring(answer)
        answer = { err = (string.find(text, '^%u+ ') and '' or 'ERR ') .. text }
    end
    answers[i] = answer
end
return answers
