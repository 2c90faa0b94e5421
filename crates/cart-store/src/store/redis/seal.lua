-- KEYS: cart, list of the sealed, list of the tombstoned. ARGV: guest, merge, member, life if sealed, life if settled.
local key, guest, merge, into = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

local seal, reply = nil, { 'ok', merge, 1 }
local found = redis.call('HGETALL', key)
for i = 1, #found, 2 do
  if found[i] == SEAL then
    seal = found[i + 1]
  elseif found[i] ~= META then
    reply[#reply + 1] = found[i]
    reply[#reply + 1] = found[i + 1]
  end
end
if seal then
  local held = string.sub(seal, INTO)
  if held ~= into then return { 'sealed', held } end
  reply[2], reply[3] = string.sub(seal, MERGE, INTO - 1), string.byte(seal, 1) - 16
  return reply
end

local at, stage, ttl = now(), 1, ARGV[4]
if #reply == 3 then
  stage, ttl = 3, ARGV[5]
  -- An entry whose cart has expired since.
  redis.call('ZREM', KEYS[2], guest .. into)
  redis.call('ZREM', KEYS[3], guest .. into)
else
  redis.call('ZADD', KEYS[2], at, guest .. into)
end
redis.call('HSET', key, SEAL, string.char(16 + stage) .. struct.pack('>I6', at) .. merge .. into)
redis.call('PEXPIRE', key, ttl)
reply[3] = stage
return reply
