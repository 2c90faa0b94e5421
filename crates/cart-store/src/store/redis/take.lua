-- KEYS: cart, marks. ARGV: order, life of its mark, then key and quantity of each line.
local key, marks, name, mark_ttl = KEYS[1], KEYS[2], 'o' .. ARGV[1], tonumber(ARGV[2])

local done = recall(marks, name)
if done then return { 'replayed', done } end
local heads = redis.call('HMGET', key, META, SEAL)
local meta = read_meta(heads[1])
if heads[2] then return { 'sealed', string.sub(heads[2], INTO) } end

local lines, quantity = open_lines(key, heads[1]), 0
for i = 3, #ARGV, 2 do
  local of, line = ARGV[i], lines.get(ARGV[i])
  if line then
    local gone = math.min(line.quantity, tonumber(ARGV[i + 1]))
    quantity = quantity + gone
    line.quantity = line.quantity - gone
    if line.quantity > 0 then lines.put(of, line) else lines.remove(of) end
  end
end
if bad then return { 'corrupt', bad } end

if quantity > 0 then
  lines.write()
  advance(meta, nil)
  write_meta(key, meta)
end
local taken = '\16' .. struct.pack('>I4I8', meta.version, quantity)
remember(marks, name, taken, mark_ttl)
return { 'ok', taken }
