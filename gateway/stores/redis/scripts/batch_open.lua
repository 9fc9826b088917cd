-- Stands before the text of a push, and batch_close.lua after it: together they make a function of it,
-- and call that for many pushes, with KEYS and ARGV of each. So a batch costs one call of a script, and
-- does what the pushes would have done one by one. What is wrong with one of them is its own answer.
-- Only pushes without a collapse key and without an idempotency key are in a batch.
-- KEYS and ARGV: those of push_fast.lua, five and two for each push
-- Answers: the answer to each push, in their order
local function push_one(KEYS, ARGV)
