package doctor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"beckon/mailer/doctor"
)

// TestAFailingCheckStopsNoOther runs a check that panics, one that waits for its context, one that never ends
// and one that is well.
func TestAFailingCheckStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		well := doctor.Finding{Check: "x", Level: doctor.OK, Message: "well"}
		start := time.Now()
		got := doctor.Examine(t.Context(), 10*time.Second, []doctor.Check{
			{"a", "panics", func(context.Context, func(doctor.Finding)) { panic("broken") }},
			{"b", "waits", func(ctx context.Context, tell func(doctor.Finding)) {
				tell(well)
				<-ctx.Done()
				tell(doctor.Finding{Check: "x", Level: doctor.Warning, Message: "late"})
			}},
			{"c", "never ends", func(_ context.Context, tell func(doctor.Finding)) { tell(well); <-forever }},
			{"d", "well", func(_ context.Context, tell func(doctor.Finding)) { tell(well); tell(well) }},
		})
		if took := time.Since(start); took > 12*time.Second {
			t.Errorf("took %s", took)
		}
		var told []string
		for _, f := range got {
			told = append(told, f.Area+" "+f.Subject+" "+string(f.Level))
		}
		want := []string{"a panics problem", "b waits ok", "b waits warning", "c never ends ok", "c never ends problem", "d well ok", "d well ok"}
		if len(told) != len(want) {
			t.Fatalf("got %q", told)
		}
		for i := range want {
			if told[i] != want[i] {
				t.Errorf("%d: %q, want %q", i, told[i], want[i])
			}
		}
		if doctor.Worst(got) != doctor.Problem || doctor.Worst(got[1:4]) != doctor.Warning || doctor.Worst(nil) != doctor.OK {
			t.Error("the worst is not the worst")
		}
		close(forever) // or the bubble would not end
	})
}
