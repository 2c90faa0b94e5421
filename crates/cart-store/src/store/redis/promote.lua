-- KEYS: cart, list of the sealed, list of the tombstoned. ARGV: guest, merge, stage to come from (the next one is 1 more),
-- time to live or nothing to leave it.
local key, guest, merge, from = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])

local seal = redis.call('HGET', key, SEAL)
if not seal or string.byte(seal, 1) ~= 16 + from or string.sub(seal, MERGE, INTO - 1) ~= merge then return 0 end
local at, into = now(), string.sub(seal, INTO)
redis.call('HSET', key, SEAL, string.char(17 + from) .. struct.pack('>I6', at) .. merge .. into)
redis.call('ZREM', KEYS[1 + from], guest .. into)
if from == 1 then redis.call('ZADD', KEYS[3], at, guest .. into) end
if ARGV[4] ~= '' then redis.call('PEXPIRE', key, ARGV[4]) end
return 1
