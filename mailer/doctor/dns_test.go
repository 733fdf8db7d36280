package doctor_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"beckon/mailer/doctor"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a name server knows: by name in lower case without the last dot. A value is a list of records
// TYPE data, or one of NXDOMAIN, SERVFAIL, SILENT and GARBAGE.
type zone map[string][]string

// nameServer answers from a zone over UDP and TCP, and returns a resolver that asks it alone.
func nameServer(t testing.TB, z zone) *net.Resolver {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { udp.Close(); wg.Wait() })
	wg.Go(func() {
		packet := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer := z.answer(t, packet[:n]); answer != nil {
				_, _ = udp.WriteTo(answer, from)
			}
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", udp.LocalAddr().String())
	}}
}

func (z zone) answer(t testing.TB, packet []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(packet)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	records, known := z[name]
	reply := dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionDesired: h.RecursionDesired, RecursionAvailable: true}
	fixed := ""
	if !known {
		fixed = "NXDOMAIN"
	} else if len(records) == 1 && !strings.Contains(records[0], " ") {
		fixed = records[0]
	}
	switch fixed {
	case "SILENT":
		return nil
	case "GARBAGE":
		return append(packet[:2:2], 0xff, 0xff, 0xff)
	case "NXDOMAIN":
		reply.RCode = dnsmessage.RCodeNameError
		for other := range z {
			if strings.HasSuffix(other, "."+name) {
				reply.RCode = dnsmessage.RCodeSuccess
			}
		}
		records = nil
	case "SERVFAIL":
		reply.RCode, records = dnsmessage.RCodeServerFailure, nil
	}
	b := dnsmessage.NewBuilder(nil, reply)
	b.EnableCompression()
	must := func(err error) {
		if err != nil {
			t.Errorf("name server: %v", err)
		}
	}
	must(b.StartQuestions())
	must(b.Question(q))
	must(b.StartAnswers())
	owner := q.Name
	for hops := 0; hops < 5; hops++ {
		next := ""
		for _, r := range records {
			kind, data, _ := strings.Cut(r, " ")
			rh := dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET, TTL: 60}
			switch {
			case kind == "CNAME":
				next = data
				must(b.CNAMEResource(rh, dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(data + ".")}))
			case kind == "TXT" && q.Type == dnsmessage.TypeTXT:
				var parts []string
				for len(data) > 255 {
					parts, data = append(parts, data[:255]), data[255:]
				}
				must(b.TXTResource(rh, dnsmessage.TXTResource{TXT: append(parts, data)}))
			case kind == "MX" && q.Type == dnsmessage.TypeMX:
				must(b.MXResource(rh, dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName(strings.TrimSuffix(data, ".") + ".")}))
			case kind == "A" && q.Type == dnsmessage.TypeA:
				must(b.AResource(rh, dnsmessage.AResource{A: netip.MustParseAddr(data).As4()}))
			case kind == "AAAA" && q.Type == dnsmessage.TypeAAAA:
				must(b.AAAAResource(rh, dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(data).As16()}))
			}
		}
		if next == "" {
			break
		}
		owner, records = dnsmessage.MustNewName(next+"."), z[next]
	}
	message, err := b.Finish()
	must(err)
	return message
}

// look runs all checks of an installation for one domain.
func look(t testing.TB, in doctor.Installation, domain string) []doctor.Finding {
	t.Helper()
	if in.Now == nil {
		in.Now = now
	}
	return doctor.Examine(t.Context(), patience, in.Checks([]string{domain}))
}

// finds says whether there is a finding of a check at a level that says all of the texts, in message, remedy or
// record.
func finds(all []doctor.Finding, check string, level doctor.Level, says ...string) bool {
	for _, f := range all {
		text := f.Message + "\n" + f.Remedy + "\n" + f.Record
		good := f.Check == check && f.Level == level
		for _, s := range says {
			good = good && strings.Contains(text, s)
		}
		if good {
			return true
		}
	}
	return false
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
