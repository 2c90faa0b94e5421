-- KEYS: cart, marks. ARGV: merge, life of its mark, most pieces, most lines, time to live, then key and value of each line.
local key, marks, name = KEYS[1], KEYS[2], 'm' .. ARGV[1]
local mark_ttl, most_pieces, most_lines, ttl = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]

local done = recall(marks, name)
if done then return { 'replayed', done } end
local heads = redis.call('HMGET', key, META, SEAL)
local meta = read_meta(heads[1])
if heads[2] then return { 'sealed', string.sub(heads[2], INTO) } end

local lines, changed, grown, quantity, clamped = open_lines(key, heads[1]), false, 0, 0, {}
for i = 6, #ARGV, 2 do
  local of, guest, line = ARGV[i], read_line(ARGV[i + 1]), lines.get(ARGV[i])
  if bad then return { 'corrupt', bad } end
  local held = line and line.quantity or 0
  local asked = held + guest.quantity
  local most = (line or lines.count() < most_lines) and math.max(most_pieces, held) or 0
  local kept = math.min(asked, most)
  if kept < asked then clamped[#clamped + 1] = string.char(#of) .. of .. struct.pack('>I8I4', asked, kept) end
  if kept > 0 then
    if kept > held then grown, quantity, changed = grown + 1, quantity + kept - held, true end
    line = line or guest
    line.quantity = kept
    if guest.checked > line.checked then line.checked, changed = 1, true end
    if line.price == '' and guest.price ~= '' then line.price, changed = guest.price, true end
    lines.put(of, line)
  end
end
if bad then return { 'corrupt', bad } end

if changed then
  lines.write()
  advance(meta, nil)
  write_meta(key, meta)
  live_for(key, ttl)
end
local report = '\16' .. struct.pack('>I4I4I8', meta.version, grown, quantity) .. table.concat(clamped)
remember(marks, name, report, mark_ttl)
return { 'ok', report }
