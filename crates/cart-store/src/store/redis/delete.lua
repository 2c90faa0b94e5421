-- KEYS: cart, marks, list of the sealed, list of the tombstoned. ARGV: guest, or nothing for a member.
local seal = redis.call('HGET', KEYS[1], SEAL)
if seal then
  local entry = ARGV[1] .. string.sub(seal, INTO)
  redis.call('ZREM', KEYS[3], entry)
  redis.call('ZREM', KEYS[4], entry)
end
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
