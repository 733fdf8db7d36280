package servertest_test

import (
	"runtime"
	"testing"

	"beckon/schema/servertest"
)

func TestServersOutliveTheGarbageCollector(t *testing.T) {
	db := servertest.Postgres(t)
	for range 3 {
		runtime.GC()
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	servertest.Postgres(t)
}

func TestAThrowAwayRedisStopsAndStartsOnItsPort(t *testing.T) {
	r := servertest.ThrowAwayRedis(t)
	url := r.URL
	r.Stop()
	r.Start(t)
	if r.URL != url {
		t.Fatalf("moved from %s to %s", url, r.URL)
	}
}
