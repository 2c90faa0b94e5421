-- ARGV: entry, delivery, message id or nothing, reason.
local id, delivery, message = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local failures = take(id, delivery)
if not failures then return 0 end
write_state(id, delivery, failures + 1, ARGV[4])
redis.call('ZADD', DEAD, now(), id)
if message ~= '' then
  -- A repeat that dies as well takes the place of the one before: a message is dead once.
  local before = redis.call('HGET', BURIED, message)
  if before and redis.call('ZREM', DEAD, before) == 1 then forget(before) end
  redis.call('HSET', BURIED, message, id)
end
return 1
