-- Where nothing else is said KEYS are those of one queue, in this order.
-- An entry stays in the stream until it is acknowledged; the sets say by its id what it waits for, and until when.
local STREAM, LEASED, DELAYED, STATE, DEAD, BURIED = unpack(KEYS)
local GROUP = 'onceward'

-- Microseconds since the epoch by the server's clock, and one for the whole script.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Deliveries, failures and the last reason of an entry. One without a state was not delivered yet.
local function read_state(id)
  local deliveries, failures, reason = string.match(redis.call('HGET', STATE, id) or '0 0 ', '^(%d+) (%d+) (.*)$')
  return tonumber(deliveries), tonumber(failures), reason
end

local function write_state(id, deliveries, failures, reason)
  redis.call('HSET', STATE, id, deliveries .. ' ' .. failures .. ' ' .. reason)
end

-- Ends the lease of a delivery and answers the failures before it; nothing if the lease is not its own any more. Each delivery
-- of an entry has another number, so a late one is known.
local function take(id, delivery)
  local deliveries, failures = read_state(id)
  if deliveries ~= delivery or redis.call('ZREM', LEASED, id) == 0 then return nil end
  return failures
end

local function forget(id)
  redis.call('HDEL', STATE, id)
  redis.call('XDEL', STREAM, id)
end

