-- Answers how many are ready, delayed, leased and dead; nothing if there is no such queue.
if redis.call('EXISTS', STREAM) == 0 then return nil end
local later = string.format('(%.0f', now())
local delayed = redis.call('ZCOUNT', DELAYED, later, '+inf')
local leased = redis.call('ZCOUNT', LEASED, later, '+inf')
local dead = redis.call('ZCARD', DEAD)
return { math.max(0, redis.call('XLEN', STREAM) - delayed - leased - dead), delayed, leased, dead }
