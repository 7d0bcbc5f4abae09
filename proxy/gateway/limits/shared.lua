-- One budget for all replicas: a sliding log of places a window, and who is under way.
--
-- A sliding log, not GCRA: GCRA that lets a burst of N go lets up to 2N into one second, and GCRA
-- without bursts costs a short job most of a second. The log holds no more than N entries, 10 mostly.
-- All times are milliseconds of this server's clock, the only one that the replicas have in common.
--
-- ARGV[1]: JSON, in which a key is an index into KEYS:
--   replica   the name of who asks; its members begin with it
--   settle    [[key, member, ms]]: how long a place in a window still counts; 0 for not at all
--   hold      [[key, ms]]: nothing of a window may go for so long
--   over      [[key, member]]: no longer under way
--   renew     [[key, member]]: still under way
--   ask       [{member, window, limit, hold, queue, last, numbers: [[key, limit]]}]
-- Returns for each that is asked for 0 (granted), or the milliseconds to wait.
local LEASE, UNSENT, POLL, LONGEST = 30000, 60000, 15, 250
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local request = cjson.decode(ARGV[1])

for _, place in ipairs(request.settle) do
  if place[3] > 0 then
    redis.call('ZADD', KEYS[place[1]], 'XX', now + place[3], place[2])
  else
    redis.call('ZREM', KEYS[place[1]], place[2])
  end
end
for _, hold in ipairs(request.hold) do
  redis.call('SET', KEYS[hold[1]], 1, 'PX', hold[2])
end
for _, one in ipairs(request.over) do
  redis.call('ZREM', KEYS[one[1]], one[2])
end
for _, one in ipairs(request.renew) do
  redis.call('ZADD', KEYS[one[1]], now + LEASE, one[2])
  redis.call('PEXPIRE', KEYS[one[1]], LEASE)
end

local function mine(key)
  local count = 0
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if string.sub(member, 1, #request.replica) == request.replica then count = count + 1 end
  end
  return count
end

-- Where another replica waits too, each takes its share only, and of one place each its turn.
local function beyond_share(ask, key, limit, others)
  if others == 0 then return false end
  if limit == 1 then return redis.call('HGET', KEYS[ask.last], key) == request.replica end
  return mine(key) >= math.ceil(limit / (others + 1))
end

local function wait_for(ask)
  local held = redis.call('PTTL', KEYS[ask.hold])
  if held > 0 then return math.min(held + 1, LONGEST) end
  local window = KEYS[ask.window]
  redis.call('ZREMRANGEBYSCORE', window, '-inf', now)
  local used = redis.call('ZCARD', window)
  if used >= ask.limit then
    local first = redis.call('ZRANGE', window, used - ask.limit, used - ask.limit, 'WITHSCORES')
    return math.max(1, math.min(first[2] - now + 1, LONGEST))
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[ask.queue], '-inf', now)
  local others = redis.call('ZCARD', KEYS[ask.queue])
  if redis.call('ZSCORE', KEYS[ask.queue], request.replica) then others = others - 1 end
  if beyond_share(ask, window, ask.limit, others) then return POLL end
  for _, number in ipairs(ask.numbers) do
    local key = KEYS[number[1]]
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= number[2] then return POLL end
    if beyond_share(ask, key, number[2], others) then return POLL end
  end
  return 0
end

local answers = {}
for index, ask in ipairs(request.ask) do
  local wait = wait_for(ask)
  answers[index] = wait
  local queue = KEYS[ask.queue]
  if wait == 0 then
    redis.call('ZREM', queue, request.replica)
    redis.call('ZADD', KEYS[ask.window], now + UNSENT, ask.member)
    redis.call('PEXPIRE', KEYS[ask.window], UNSENT)
    for _, number in ipairs(ask.numbers) do
      local key = KEYS[number[1]]
      redis.call('ZADD', key, now + LEASE, ask.member)
      redis.call('PEXPIRE', key, LEASE)
      if number[2] == 1 then
        redis.call('HSET', KEYS[ask.last], key, request.replica)
        redis.call('PEXPIRE', KEYS[ask.last], UNSENT)
      end
    end
  else
    redis.call('ZADD', queue, now + wait + 4 * POLL, request.replica)
    redis.call('PEXPIRE', queue, UNSENT)
  end
end
return answers
