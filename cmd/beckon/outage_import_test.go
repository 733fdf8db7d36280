package main

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"testing"
	"time"

	"beckon/cmd/internal/demo"
)

// TestImportUnderLoad: a big import into the embedded database, which has one writer, runs while hits
// are answered. Neither stands in the other's way for long, and both are complete.
func TestImportUnderLoad(t *testing.T) {
	alongside(t)
	clients, rows := sized(32, 256), sized(20_000, 500_000)
	if underRace {
		rows /= 10
	}
	o := newOutage(t, demoStorage{}, clients*sized(6, 40))
	before := o.number(`SELECT COUNT(*) FROM contacts`)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "more.csv")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(part, "email,name,country,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at")
	for i := range rows {
		fmt.Fprintf(part, "q%d@more.example,Person %d,GB,acme,email,newsletter,%s,v1,form,2026-01-02T03:04:05Z\n", i, i, []string{"yes", "no"}[i%2])
	}
	form.Close()

	tr := o.traffic(clients)
	o.goOn(tr, sized(time.Second, 10*time.Second))
	tr.mark("during the import")
	begun := time.Now()
	var imp demo.Import
	o.call("POST", "/imports", form.FormDataContentType(), &body, &imp)
	o.until("the import is finished", func() bool { o.call("GET", "/imports/"+imp.ID, "", nil, &imp); return imp.Status == "finished" })
	took := time.Since(begun)
	tr.mark("after")
	o.goOn(tr, sized(500*time.Millisecond, 5*time.Second))
	o.outlived(tr)

	phases := tr.phases()
	t.Logf("%d rows in %.1f s, %.0f/s; the 99th percentile of the answers was %.1f times that without an import",
		rows, took.Seconds(), float64(rows)/took.Seconds(), float64(phases[1].P99)/float64(phases[0].P99))
	if imp.Rows != rows || imp.Created != rows || imp.Mailable != rows || imp.Rejected+imp.Skipped+imp.Updated != 0 {
		t.Errorf("%+v", imp)
	}
	if n := o.number(`SELECT COUNT(*) FROM contacts`) - before; n != int64(rows) {
		t.Errorf("%d contacts more, want %d", n, rows)
	}
	var size struct{ Count int64 }
	if o.call("GET", "/segments/seg_1/count", "", nil, &size); size.Count != before+int64(rows) {
		t.Errorf("%d in the segment of all, want %d", size.Count, before+int64(rows))
	}
}
