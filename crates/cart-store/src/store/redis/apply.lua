-- KEYS: cart. ARGV: expected version, operation, version seen, most pieces, most lines, policy, time to live, then per
-- command its letter, line key, number and price.
local key = KEYS[1]
local expected, id, seen = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most_pieces, most_lines, reject, ttl = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == 'r', ARGV[7]

local heads = redis.call('HMGET', key, META, SEAL)
local meta = read_meta(heads[1])
if bad then return { 'corrupt', bad } end
if id ~= '' then
  for i = 1, #meta.ids do
    if meta.ids[i] == id then return { 'replayed', meta.made[i] } end
  end
  if seen < meta.floor or seen > meta.version then return { 'stale', meta.version } end
end
if heads[2] then return { 'sealed', string.sub(heads[2], INTO) } end
if expected ~= '' and tonumber(expected) ~= meta.version then return { 'conflict', meta.version } end

local lines, changed, notes = open_lines(key, heads[1]), false, {}
local function note(name, asked, kept)
  notes[#notes + 1], notes[#notes + 2], notes[#notes + 3] = name, asked, kept
end

local commands = {}

function commands.a(name, delta, price)
  local line = lines.get(name)
  local held = line and line.quantity or 0
  if held == 0 and delta < 0 then return { 'unknown', name } end
  local total = held + delta
  if total <= 0 then
    lines.remove(name)
    changed = true
    return nil
  end
  if held == 0 then
    local count = lines.count() + 1
    if count > most_lines then
      if reject then return { 'limit', 'l', most_lines, count } end
      note(name, total, 0)
      return nil
    end
  end
  local most, kept = math.max(most_pieces, held), total
  if total > most then
    if reject then return { 'limit', 'q', most_pieces, total } end
    note(name, total, most)
    kept = most
  end
  line = line or { checked = 1, quantity = 0, at = struct.pack('>I6', now()), price = '' }
  if line.quantity ~= kept or (price ~= '' and line.price ~= price) then changed = true end
  line.quantity = kept
  if price ~= '' then line.price = price end
  lines.put(name, line)
end

function commands.s(name, quantity)
  local line = lines.get(name)
  if not line then return { 'unknown', name } end
  if quantity > most_pieces then
    if reject then return { 'limit', 'q', most_pieces, quantity } end
    note(name, quantity, most_pieces)
    quantity = most_pieces
  end
  if quantity == 0 then
    lines.remove(name)
    changed = true
  elseif line.quantity ~= quantity then
    line.quantity = quantity
    lines.put(name, line)
    changed = true
  end
end

local function check(name, line, checked)
  if line.checked ~= checked then
    line.checked = checked
    lines.put(name, line)
    changed = true
  end
end

function commands.c(name, checked)
  local line = lines.get(name)
  if not line then return { 'unknown', name } end
  check(name, line, checked)
end

function commands.C(_, checked)
  for name, line in pairs(lines.all()) do
    if line then check(name, line, checked) end
  end
end

function commands.r(name)
  if lines.get(name) then
    lines.remove(name)
    changed = true
  end
end

function commands.x()
  for name, line in pairs(lines.all()) do
    if line then
      lines.remove(name)
      changed = true
    end
  end
end

for i = 8, #ARGV, 4 do
  local refused = commands[ARGV[i]](ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3])
  if bad then return { 'corrupt', bad } end
  if refused then return refused end
end

if changed then
  lines.write()
  advance(meta, id ~= '' and id or nil)
  write_meta(key, meta)
  live_for(key, ttl)
end
return { 'ok', meta.version, changed and 1 or 0, unpack(notes) }
