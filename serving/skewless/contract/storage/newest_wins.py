"""Newest wins: which of two rows of one entity and view stays, in Python and as scripts for Redis, and for how long.

The greater `(event_timestamp, created_timestamp)` wins. On a tie a row of another schema replaces the stored one (the
view was redefined and materialized again), and of two with one schema the greater bytes win, tombstones first, so
that the outcome does not depend on the order of writers.

Where the server removes rows by itself (see `expiry.EXPIRY`), each write sets the row's deadline: HSET of a field drops
the one it had.
"""

from __future__ import annotations

from skewless.contract.storage.row_header import AFTER_SCHEMA, HEADER_WIDTH, LUA, ORDER, SCHEMA

LONGEST_MS = 1 << 45
"""A thousand years: servers refuse deadlines that are much further away."""


def replaces(new: bytes, old: bytes | None) -> bool:
    """Whether `new` takes the place of `old`. The definition that `SCRIPT` is held equal to.

    Bytes too short to be a row are replaced like a missing row.
    """
    if old is None or len(old) < HEADER_WIDTH:
        return True
    if new[ORDER] != old[ORDER]:
        return new[ORDER] > old[ORDER]
    if new[SCHEMA] != old[SCHEMA]:
        return True
    return new[AFTER_SCHEMA] > old[AFTER_SCHEMA]


_LIFE = (
    LUA
    + f"""
local function life(row, horizon)
  local high, low = struct.unpack(EVENT_WORDS, row)
  high = high - HIGH_BIAS
  local event = high * 4294967 + math.floor((high * 296 + low) / 1000)
  return math.min(event - horizon, {LONGEST_MS})
end
local function expire(key, field, row, horizon)
  local left = life(row, horizon)
  if left > 0 then
    redis.call('HPEXPIRE', key, string.format('%.0f', left), 'FIELDS', 1, field)
  else
    redis.call('HDEL', key, field)
  end
end
"""
)
"""2^32 is 4294967 * 1000 + 296: no number here is greater than what a double holds exactly, but for event times that are
some 280,000 years away, which are gone or capped however they are rounded.
"""

SCRIPT = (
    _LIFE
    + """
local function greater(new, old, first)
  for i = first, math.min(#new, #old) do
    local a, b = new:byte(i), old:byte(i)
    if a ~= b then return a > b end
  end
  return #new > #old
end
local function replaces(new, old)
  local a, b, c, d = struct.unpack(ORDER_WORDS, new)
  local e, f, g, h = struct.unpack(ORDER_WORDS, old)
  if a ~= e then return a > e end
  if b ~= f then return b > f end
  if c ~= g then return c > g end
  if d ~= h then return d > h end
  if new:sub(SCHEMA_FIRST, SCHEMA_LAST) ~= old:sub(SCHEMA_FIRST, SCHEMA_LAST) then return true end
  return greater(new, old, SCHEMA_LAST + 1)
end
local field, written, others = ARGV[1], 0, {}
local before = #ARGV - #KEYS
local server = before > 1
local horizon = server and tonumber(ARGV[2])
for i = 1, #KEYS do
  local key, new = KEYS[i], ARGV[before + i]
  local old = redis.pcall('HGET', key, field)
  if type(old) == 'table' then
    others[#others + 1] = i
  elseif new == old then
    if horizon then
      expire(key, field, new, horizon)
    elseif server then
      redis.call('HPERSIST', key, 'FIELDS', 1, field)
    end
  elseif not old or #old < HEADER_WIDTH or replaces(new, old) then
    redis.call('HSET', key, field, new)
    if horizon then expire(key, field, new, horizon) end
    written = written + 1
  end
end
if #others == 0 then return written end
table.insert(others, 1, written)
return others
"""
)
"""KEYS: entity hashes of one slot. ARGV: the view's field, then a row for each key. Returns how many rows won; where
some keys are no hashes, a list: that number, then the positions of those keys in KEYS, from 1. They are left alone.

Where the server removes rows by itself, one more argument follows the field: the horizon in milliseconds, or an empty
string where the view has no ttl. Every row gets its deadline from it (see `life`), also one that equals the stored row.
A row beyond the horizon wins like any other and is deleted at once.

Bytes are compared as numbers: Lua's `<` on strings follows the server's locale, which is not memcmp.
"""

STORED_ROWS = """
local found = {}
for i = 1, #KEYS do
  local row = redis.pcall('HGET', KEYS[i], ARGV[1])
  found[i] = type(row) == 'string' and row
end
return found
"""
"""KEYS as `SCRIPT`'s, ARGV: the view's field. Returns the stored rows; nil where there is none, or where the key is no hash."""

DISCARD = """
local gone = 0
for i = 1, #KEYS do
  if redis.pcall('HGET', KEYS[i], ARGV[1]) == ARGV[i + 1] then
    gone = gone + redis.call('HDEL', KEYS[i], ARGV[1])
  end
end
return gone
"""
"""KEYS and ARGV as `SCRIPT`'s: deletes each row that is still the stored one. Returns how many were deleted."""

DEADLINES = (
    _LIFE
    + """
local function forever(key, field)
  if redis.call('HPERSIST', key, 'FIELDS', 1, field)[1] ~= 1 then return end
  local names = redis.call('HKEYS', key)
  for _, left in ipairs(redis.call('HPTTL', key, 'FIELDS', #names, unpack(names))) do
    if left >= 0 then return end
  end
  local all = redis.call('HGETALL', key)
  redis.call('DEL', key)
  redis.call('HSET', key, unpack(all))
end
local field, horizon = ARGV[1], tonumber(ARGV[2])
for i = 1, #KEYS do
  local row = redis.pcall('HGET', KEYS[i], field)
  if type(row) == 'string' then
    if not horizon then
      forever(KEYS[i], field)
    elseif #row >= HEADER_WIDTH then
      expire(KEYS[i], field, row, horizon)
    end
  end
end
"""
)
"""KEYS as `SCRIPT`'s, ARGV: the view's field and the horizon, as there. Sets the deadlines of the stored rows, or
removes them. A hash without any deadline left is written anew: only then does the server keep it in its compact encoding
again.
"""
