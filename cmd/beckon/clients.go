package main

import (
	"beckon/tracker"

	"github.com/prometheus/client_golang/prometheus"
)

// oneClientMetric is what `doctor` reads to learn whether every client looks like one proxy.
const oneClientMetric = "beckon_one_client"

func (a *app) measureClients(metrics prometheus.Registerer) {
	metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: oneClientMetric, Help: "1 while every client looks like one proxy that is not in BECKON_TRUSTED_PROXIES."},
		func() float64 {
			if a.clients.Suspected() {
				return 1
			}
			return 0
		}))
}

// warnings are what whoever looks at the operator's pages should know about the installation.
func (a *app) warnings() []string {
	if a.clients.Suspected() {
		return []string{tracker.OneClientWarning}
	}
	return nil
}
