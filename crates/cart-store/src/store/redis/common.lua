-- A cart is one hash: a field per line, its state in '\1', its seal in '\2' (no line key has a control character).
-- The bytes are those of cart/pack.rs, the rules those of cart.rs.
local META, SEAL = '\1', '\2'
local RING, REACH, LAST = 6, 255, 4294967295
local MERGE, INTO = 8, 24

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local bad = nil

local function read_meta(bytes)
  local meta = { version = 0, floor = 0, ids = {}, made = {} }
  if not bytes then return meta end
  local count = string.byte(bytes, 1) - 16
  if count < 0 or count > RING or #bytes ~= 9 + 9 * count then
    bad = 'the state of a cart'
    return meta
  end
  meta.version, meta.floor = struct.unpack('>I4I4', bytes, 2)
  local made = meta.version
  for i = 1, count do
    local at = 1 + 9 * i
    made = made - string.byte(bytes, at)
    meta.ids[i], meta.made[i] = string.sub(bytes, at + 1, at + 8), made
  end
  return meta
end

local function write_meta(key, meta)
  local parts = { string.char(16 + #meta.ids), struct.pack('>I4I4', meta.version, meta.floor) }
  local newer = meta.version
  for i = 1, #meta.ids do
    parts[#parts + 1] = string.char(newer - meta.made[i]) .. meta.ids[i]
    newer = meta.made[i]
  end
  redis.call('HSET', key, META, table.concat(parts))
end

local function advance(meta, id)
  meta.version = math.min(meta.version + 1, LAST)
  if id then
    table.insert(meta.ids, 1, id)
    table.insert(meta.made, 1, meta.version)
  end
  local newer, near = meta.version, 0
  for i = 1, math.min(#meta.ids, RING) do
    if newer - meta.made[i] > REACH then break end
    newer, near = meta.made[i], i
  end
  if near == 0 and #meta.ids > 0 then meta.floor = meta.made[1] end
  for i = #meta.ids, near + 1, -1 do meta.ids[i], meta.made[i] = nil, nil end
  if near > 0 then meta.floor = meta.made[near] - 1 end
end

local function read_line(bytes)
  local flags = string.byte(bytes, 1) or 0
  local priced = flags >= 18
  if flags < 16 or flags > 19 or #bytes ~= (priced and 22 or 11) then
    bad = 'a line'
    return nil
  end
  return {
    checked = flags % 2,
    quantity = (struct.unpack('>I4', bytes, 2)),
    at = string.sub(bytes, 6, 11),
    price = string.sub(bytes, 12),
  }
end

local function write_line(line)
  local flags = 16 + line.checked + (line.price ~= '' and 2 or 0)
  return string.char(flags) .. struct.pack('>I4', line.quantity) .. line.at .. line.price
end

-- The lines of a cart, read when asked for and written at the end, so that a refused batch writes nothing.
local function open_lines(key, meta_there)
  local lines = { held = {}, touched = {}, grown = 0 }

  function lines.get(name)
    local line = lines.held[name]
    if line == nil then
      local bytes = redis.call('HGET', key, name)
      line = bytes and read_line(bytes) or false
      lines.held[name] = line
    end
    return line
  end

  function lines.count()
    return redis.call('HLEN', key) - (meta_there and 1 or 0) + lines.grown
  end

  function lines.put(name, line)
    if not lines.held[name] then lines.grown = lines.grown + 1 end
    lines.held[name], lines.touched[name] = line, true
  end

  function lines.remove(name)
    lines.grown = lines.grown - 1
    lines.held[name], lines.touched[name] = false, true
  end

  function lines.all()
    local found = redis.call('HGETALL', key)
    for i = 1, #found, 2 do
      if found[i] ~= META and lines.held[found[i]] == nil then lines.held[found[i]] = read_line(found[i + 1]) or false end
    end
    return lines.held
  end

  function lines.write()
    local set, gone = {}, {}
    for name in pairs(lines.touched) do
      local line = lines.held[name]
      if line then
        set[#set + 1] = name
        set[#set + 1] = write_line(line)
      else
        gone[#gone + 1] = name
      end
    end
    if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
    if #set > 0 then redis.call('HSET', key, unpack(set)) end
  end

  return lines
end

local function live_for(key, ttl)
  if ttl == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
end

-- Marks are one hash per cart; each value begins with the time at which it expires.
local function recall(marks, name)
  local kept = redis.call('HGET', marks, name)
  if kept and struct.unpack('>I8', kept) > now() then return string.sub(kept, 9) end
  return nil
end

local MANY_MARKS = 32

local function remember(marks, name, kept, ttl)
  local at = now()
  redis.call('HSET', marks, name, struct.pack('>I8', at + ttl) .. kept)
  if redis.call('PTTL', marks) < ttl then redis.call('PEXPIRE', marks, ttl) end
  if redis.call('HLEN', marks) > MANY_MARKS then
    local found = redis.call('HGETALL', marks)
    for i = 1, #found, 2 do
      if struct.unpack('>I8', found[i + 1]) <= at then redis.call('HDEL', marks, found[i]) end
    end
  end
end
