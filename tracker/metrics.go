package tracker

import (
	"time"

	"beckon/tracker/event"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// loss is why a hit was answered but not recorded.
type loss string

const (
	lossFull        loss = "full"        // the spool holds as much as it may
	lossFailed      loss = "failed"      // the disk
	lossClosed      loss = "closed"      // the node is shutting down
	lossUnconfirmed loss = "unconfirmed" // not on disk in time; it may still get there
	lossPanic       loss = "panic"       // a mistake of ours
)

// Metrics of the public links. No label names a campaign, a contact or a link.
type Metrics struct {
	hits     map[event.Kind]map[event.Verdict]prometheus.Counter
	refusals map[event.Kind]prometheus.Counter
	losses   map[loss]prometheus.Counter
	wait     prometheus.Histogram
}

// NewMetrics registers the metrics with r; nil keeps them to themselves.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	hits := f.NewCounterVec(prometheus.CounterOpts{
		Name: "beckon_tracker_hits_total",
		Help: "Hits recorded, by kind and by the verdict on their headers; private ones asked not to be tracked.",
	}, []string{"kind", "verdict"})
	refusals := f.NewCounterVec(prometheus.CounterOpts{
		Name: "beckon_tracker_invalid_links_total",
		Help: "Requests for links that were not signed by us.",
	}, []string{"kind"})
	lost := f.NewCounterVec(prometheus.CounterOpts{
		Name: "beckon_tracker_losses_total",
		Help: "Hits answered but not recorded, by reason; unconfirmed ones may have been recorded late.",
	}, []string{"reason"})
	m := &Metrics{
		hits:     map[event.Kind]map[event.Verdict]prometheus.Counter{},
		refusals: map[event.Kind]prometheus.Counter{},
		losses:   map[loss]prometheus.Counter{},
		wait: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "beckon_tracker_spool_seconds",
			Help:    "Time from the request to the hit being on disk.",
			Buckets: []float64{.0005, .001, .002, .004, .008, .016, .032, .064, .128, .25, .5, 1, 2},
		}),
	}
	for _, kind := range []event.Kind{event.Open, event.Click} {
		m.refusals[kind] = refusals.WithLabelValues(string(kind))
		m.hits[kind] = map[event.Verdict]prometheus.Counter{}
		for _, v := range []event.Verdict{event.Person, event.Machine, event.Unverifiable, event.Private} {
			m.hits[kind][v] = hits.WithLabelValues(string(kind), string(v))
		}
	}
	for _, reason := range []loss{lossFull, lossFailed, lossClosed, lossUnconfirmed, lossPanic} {
		m.losses[reason] = lost.WithLabelValues(string(reason))
	}
	return m
}

func (m *Metrics) hit(h *event.Hit) {
	verdict := h.Verdict
	if h.Private {
		verdict = event.Private
	}
	if c := m.hits[h.Kind][verdict]; c != nil {
		c.Inc()
	}
}

func (m *Metrics) appended(d time.Duration) { m.wait.Observe(d.Seconds()) }
func (m *Metrics) refused(kind event.Kind)  { m.refusals[kind].Inc() }
func (m *Metrics) lost(reason loss)         { m.losses[reason].Inc() }
