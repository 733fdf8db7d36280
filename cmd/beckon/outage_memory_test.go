package main

import (
	"testing"
	"time"
)

// TestMemoryIsFlatUnderLoad: what the service holds does not grow with the hits that it has answered,
// nor with those that wait in the spool.
func TestMemoryIsFlatUnderLoad(t *testing.T) {
	alongside(t)
	clients := connections()
	o := newOutage(t, demoStorage{}, clients*sized(6, 40))
	tr := o.traffic(clients)
	o.goOn(tr, sized(500*time.Millisecond, 20*time.Second)) // until caches are as large as they get
	const parts = 10
	var held, heap [parts]int64
	for i := range held {
		o.goOn(tr, sized(3*time.Second, 5*time.Minute)/parts)
		held[i], _ = o.memory()
		heap[i] = o.metric("go_memstats_heap_inuse_bytes") >> 20
	}
	waiting := o.metric("beckon_spool_backlog")
	tr.end()
	tr.tell(t)
	_, peak := o.memory()
	t.Logf("MB after each tenth: %d, of it Go's heap: %d; at most %d; %d hits waited in the spool at the end", held, heap, peak, waiting)
	early, late := max(held[0], held[1], held[2]), max(held[parts-3], held[parts-2], held[parts-1])
	if late > early*5/4+32 {
		t.Errorf("the service holds %d MB at the end and held %d MB at the beginning", late, early)
	}
	if fullLoad {
		return // to drain all of it would take longer than the load
	}
	o.settle()
	o.account(tr.sums(), 0)
}
