// Package servertest gives tests real servers: SQLite files, PostgreSQL and Redis.
//
// PostgreSQL and Redis are the ones named by BECKON_TEST_POSTGRES and BECKON_TEST_REDIS when set
// (Redis is flushed: name one that holds nothing of value). Otherwise throw-away servers are
// started from the postgres, initdb and redis-server programs found on the machine; they die with
// the test process. Where neither is to be had the test is skipped with the reason, and in CI
// (environment CI set) it fails instead.
package servertest
