-- Let a key run one more execution, in one step. KEYS are the set of its executions that run and the milliseconds that
-- it has used today; ARGV are the execution's id, the seconds after which it counts as ended, the most executions, the
-- milliseconds that it may take, and the most milliseconds.
--
-- Returns the executions before this one, the milliseconds used before, and whether it may run.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local runs = redis.call('ZCARD', KEYS[1])
local used = tonumber(redis.call('GET', KEYS[2]) or '0')
local admitted = runs < tonumber(ARGV[3]) and used + ARGV[4] <= tonumber(ARGV[5])
if admitted then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('INCRBY', KEYS[2], ARGV[4])
  redis.call('EXPIRE', KEYS[2], 172800)
end
return {runs, used, admitted and 1 or 0}
