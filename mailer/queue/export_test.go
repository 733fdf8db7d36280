package queue

import "crypto/x509"

// What tests of the whole need of the inside.
var Certificate = certificate

func (r *Relay) Trust(roots *x509.CertPool) { r.roots = roots }
