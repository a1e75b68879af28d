"""Newest wins: which of two rows of one entity and view stays, in Python and as the script that Redis runs.

The greater `(event_timestamp, created_timestamp)` wins. On a tie a row of another schema replaces the stored one (the
view was redefined and materialized again), and of two with one schema the greater bytes win, tombstones first, so
that the outcome does not depend on the order of writers.
"""

from __future__ import annotations

_ORDER = 16
_SCHEMA_END = 20
_HEADER = 21


def replaces(new: bytes, old: bytes | None) -> bool:
    """Whether `new` takes the place of `old`. The definition that `SCRIPT` is held equal to.

    What is too short to be a row is replaced like nothing.
    """
    if old is None or len(old) < _HEADER:
        return True
    if new[:_ORDER] != old[:_ORDER]:
        return new[:_ORDER] > old[:_ORDER]
    if new[_ORDER:_SCHEMA_END] != old[_ORDER:_SCHEMA_END]:
        return True
    return new[_SCHEMA_END:] > old[_SCHEMA_END:]


SCRIPT = """
local function greater(new, old, first)
  for i = first, math.min(#new, #old) do
    local a, b = new:byte(i), old:byte(i)
    if a ~= b then return a > b end
  end
  return #new > #old
end
local function replaces(new, old)
  local a, b, c, d = struct.unpack('>I4I4I4I4', new)
  local e, f, g, h = struct.unpack('>I4I4I4I4', old)
  if a ~= e then return a > e end
  if b ~= f then return b > f end
  if c ~= g then return c > g end
  if d ~= h then return d > h end
  if new:sub(17, 20) ~= old:sub(17, 20) then return true end
  return greater(new, old, 21)
end
local written, others = 0, {}
for i = 1, #KEYS do
  local new, old = ARGV[i + 1], redis.pcall('HGET', KEYS[i], ARGV[1])
  if type(old) == 'table' then
    others[#others + 1] = i
  elseif not old or #old < 21 or replaces(new, old) then
    redis.call('HSET', KEYS[i], ARGV[1], new)
    written = written + 1
  end
end
if #others == 0 then return written end
table.insert(others, 1, written)
return others
"""
"""KEYS: entity hashes of one slot. ARGV: the view's field, then a row for each key. Answers how many rows won; where
some keys are no hashes, a list: that number, then the places of those keys among KEYS, from 1. They are left alone.

Bytes are compared as numbers: Lua's `<` on strings follows the server's locale, which is not memcmp.
"""

HELD = """
local found = {}
for i = 1, #KEYS do
  local row = redis.pcall('HGET', KEYS[i], ARGV[1])
  found[i] = type(row) == 'string' and row
end
return found
"""
"""KEYS as `SCRIPT`'s, ARGV: the view's field. Answers the rows that are held; nil where there is none, or no hash."""

DISCARD = """
local gone = 0
for i = 1, #KEYS do
  if redis.pcall('HGET', KEYS[i], ARGV[1]) == ARGV[i + 1] then
    gone = gone + redis.call('HDEL', KEYS[i], ARGV[1])
  end
end
return gone
"""
"""KEYS and ARGV as `SCRIPT`'s: each row goes if it is still the one that is held. Answers how many went."""
