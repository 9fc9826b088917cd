-- Stands first in every script of a user: Redis's clock. A batch of pushes shares it.
local clock = redis.call('TIME')
