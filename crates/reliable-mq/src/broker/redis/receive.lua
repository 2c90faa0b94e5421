-- ARGV: most deliveries, microseconds of their lease. Answers id, deliveries, failures and fields of each; nothing if there is no
-- such queue.
if redis.call('EXISTS', STREAM) == 0 then return nil end
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local at, given = now(), {}

local function give(id, fields, deliveries, failures, reason)
  -- A microsecond apart: what was given together comes back in the same order.
  redis.call('ZADD', LEASED, at + lease + #given, id)
  write_state(id, deliveries, failures, reason)
  given[#given + 1] = { id, deliveries, failures, fields }
end

for _, set in ipairs({ LEASED, DELAYED }) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', at, 'LIMIT', 0, most - #given)) do
    redis.call('ZREM', set, id)
    local entry = redis.call('XRANGE', STREAM, id, id)[1]
    if entry then
      local deliveries, failures, reason = read_state(id)
      give(id, entry[2], deliveries + 1, failures, reason)
    else
      -- Somebody has deleted it by hand.
      redis.call('HDEL', STATE, id)
    end
  end
end
if #given < most then
  local read = redis.call(
    'XREADGROUP', 'GROUP', GROUP, GROUP, 'COUNT', most - #given, 'NOACK', 'STREAMS', STREAM, '>')
  for _, entry in ipairs(read and read[1][2] or {}) do give(entry[1], entry[2], 1, 0, '') end
end
return given
