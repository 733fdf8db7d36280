package counter

import "github.com/redis/go-redis/v9"

// The hash of a campaign is in one of three states: absent; marked, with the field @heal alone,
// whose value is the token of whoever is about to set it; or complete, with @ok. Only a complete one
// is read or added to.

// answer is what the push script did.
type answer int

const (
	added  answer = 0 // now or before
	broken answer = 1 // the chain does not fit: the hash is marked with the caller's token
	marked answer = 2 // somebody else has marked the hash
)

// pushScript: KEYS hash; ARGV node's field, previous number, new number, token, then fields and units.
var pushScript = redis.NewScript(`
local k = KEYS[1]
local s = redis.call('HMGET', k, '@ok', '@heal', ARGV[1])
if s[1] then
  local head = s[3] or '0'
  if head == ARGV[3] then return 0 end
  if head == ARGV[2] then
    for i = 5, #ARGV, 2 do redis.call('HINCRBY', k, ARGV[i], ARGV[i + 1]) end
    redis.call('HSET', k, ARGV[1], ARGV[3])
    return 0
  end
elseif s[2] then
  return 2
end
redis.call('UNLINK', k)
redis.call('HSET', k, '@heal', ARGV[4])
return 1
`)

// markScript: KEYS hash; ARGV token.
var markScript = redis.NewScript(`
redis.call('UNLINK', KEYS[1])
redis.call('HSET', KEYS[1], '@heal', ARGV[1])
return 1
`)

// setScript: KEYS hash; ARGV token, then fields and values.
var setScript = redis.NewScript(`
local k = KEYS[1]
if redis.call('HGET', k, '@heal') ~= ARGV[1] then return 0 end
redis.call('UNLINK', k)
for i = 2, #ARGV, 1000 do
  redis.call('HSET', k, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('HSET', k, '@ok', '1')
return 1
`)
