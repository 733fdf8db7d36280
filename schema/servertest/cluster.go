package servertest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisCluster returns the addresses of a Redis Cluster of three masters of the test's own.
func RedisCluster(t testing.TB) []string {
	t.Helper()
	const slots, nodes = 16384, 3
	var all []string
	var meet []string
	for range nodes {
		bus, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		r := throwAwayRedis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "5000")
		all = append(all, fmt.Sprintf("127.0.0.1:%d", r.port))
		meet = append(meet, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %d", r.port, bus))
	}
	tell := func(addr, command string) {
		t.Helper()
		if err := redisCommand(t.Context(), addr, command); err != nil {
			t.Fatal(err)
		}
	}
	for i, addr := range all {
		tell(addr, fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
		tell(addr, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/nodes, (i+1)*slots/nodes-1))
		if i > 0 {
			tell(all[0], meet[i])
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, addr := range all {
		for ready(ctx, addr, nodes) != nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("the cluster does not come up: %v", ready(t.Context(), addr, nodes))
			}
		}
	}
	return all
}

// ready says whether a node of a cluster knows of all its nodes and serves.
func ready(ctx context.Context, addr string, nodes int) error {
	info, err := redisAnswer(ctx, addr, "CLUSTER INFO")
	if err == nil && !(strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", nodes))) {
		err = fmt.Errorf("%s", info)
	}
	return err
}
