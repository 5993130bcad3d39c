-- Keep the answer of one request, in one step. KEYS are the request's, that of a list, and that of a counter; ARGV are
-- the answer, the seconds to keep it, the bytes that it takes, and the most bytes for all answers.
--
-- The list has when each answer ends, its bytes and its key, in order; the counter has the bytes of all of them.
local now = tonumber(redis.call('TIME')[1])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('RPUSH', KEYS[2], string.format('%d %d %s', now + ARGV[2], ARGV[3], KEYS[1]))
local bytes = redis.call('INCRBY', KEYS[3], ARGV[3])
while redis.call('LLEN', KEYS[2]) > 0 do
  local ends, size, key = string.match(redis.call('LINDEX', KEYS[2], 0), '(%d+) (%d+) (.*)')
  local live = tonumber(ends) > now
  if live and bytes <= tonumber(ARGV[4]) then break end
  if live then redis.call('DEL', key) end
  redis.call('LPOP', KEYS[2])
  bytes = redis.call('DECRBY', KEYS[3], size)
end
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[2])
