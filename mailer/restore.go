package mailer

import (
	"context"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
)

// Doubt is what is not known of the campaigns of a restored database.
type Doubt struct {
	Messages  int64      // that are unknown now
	Campaigns []Doubtful // that changed, or have such messages; the oldest first
	Drafts    int64      // that have got a note
}

// Doubtful is a campaign that a restored database found under way.
type Doubtful struct {
	ID       id.Campaign
	Name     string
	Was, Now CampaignStatus
	Messages int64 // that are unknown now
}

// AfterRestore settles what a database that was put back at an instant cannot know: what was sent
// since it was backed up. Nobody may be mailed on its word alone. No Mailer may run.
//
//   - Messages that were waiting or under way are unknown, with the reason restored: ResolveUnknown
//     decides on them.
//   - A campaign that was being sent is paused. Whom it reaches only now is unknown, too.
//   - A scheduled campaign is a draft again. If its time has come meanwhile, it may have been sent: it
//     can be launched, and then everybody is unknown.
//   - A draft may have been launched since. Its note says so, and goes with the launch.
//
// A cancelled campaign stays cancelled. Called again, it changes nothing more, unless something has
// been resumed or launched in between.
func AfterRestore(ctx context.Context, db *schema.DB, at schema.Time) (Doubt, error) {
	var d Doubt
	var all []struct {
		ID       id.Campaign    `db:"id"`
		Name     string         `db:"name"`
		Status   CampaignStatus `db:"status"`
		Note     string         `db:"status_note"`
		Restored schema.Time    `db:"restored_at"`
		SendAt   schema.Time    `db:"send_at"`
		Messages bool           `db:"messages"`
	}
	err := db.Select(ctx, &all, `SELECT k.id, k.name, k.status, k.status_note, k.restored_at, k.send_at, EXISTS (SELECT 1 FROM messages m WHERE m.campaign = k.id) AS messages
		FROM campaigns k ORDER BY k.id`)
	if err != nil {
		return d, boundary("settle a restored database", err)
	}
	for _, k := range all {
		was := k.Status
		switch {
		case was == DraftStatus && k.Note == "":
			_, err = db.Exec(ctx, `UPDATE campaigns SET status_note = ? WHERE id = ? AND status = 'draft'`, noteDraft+stamp(at), k.ID)
			d.Drafts++
		case was == Scheduled && !k.Messages:
			k.Status = DraftStatus
			err = unschedule(ctx, db, k.ID, at, k.SendAt)
		case was == Sending, was == Scheduled, was == Paused && k.Restored == 0:
			k.Status = Paused
			note := notePaused + stamp(at)
			if was == Paused && k.Note != "" {
				note += " It was paused before: " + k.Note
			}
			_, err = db.Exec(ctx, `UPDATE campaigns SET status = 'paused', status_note = ?, restored_at = ? WHERE id = ? AND status = ?`, note, at, k.ID, string(was))
		}
		if err != nil {
			return d, boundary("settle a restored database", err)
		}
		if was == DraftStatus || was == Cancelled { // Run ends what a cancellation left behind
			continue
		}
		n, err := queue.Doubt(ctx, db, k.ID)
		if err != nil {
			return d, boundary("settle a restored database", err)
		}
		d.Messages += n
		if n > 0 || was != k.Status {
			d.Campaigns = append(d.Campaigns, Doubtful{k.ID, k.Name, was, k.Status, n})
		}
	}
	return d, nil
}

// unschedule makes a scheduled campaign a draft again.
func unschedule(ctx context.Context, db *schema.DB, c id.Campaign, at, due schema.Time) error {
	note, restored := noteScheduled, schema.Time(0)
	if due <= at {
		note, restored = noteDue, at
	}
	return db.Tx(ctx, func(tx *schema.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM links WHERE campaign = ?`, c); err != nil { // a launch writes them
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE campaigns SET status = 'draft', status_note = ?, restored_at = ?, launched_at = 0, left_out = '{}' WHERE id = ? AND status = 'scheduled'`,
			note+stamp(at), restored, c)
		return err
	})
}

// Notes for the person who looks at the campaign. Each ends in the time of the restore.
const (
	notePaused    = "paused by a restore: who was mailed after the backup was made is not known. Whoever had not been reached by then is listed as unknown: find out, for example from the relay's log, and resend or leave them. Restored "
	noteScheduled = "a draft again after a restore: it may have been cancelled or changed after the backup was made. Make sure that it is to be sent, then launch it. Restored "
	noteDue       = "a draft again after a restore: its time came after the backup was made, so it may have been sent. Launched again, everybody is listed as unknown instead of being mailed; if it was never sent, make a new campaign of it. Restored "
	noteDraft     = "an older database was restored: this draft may have been launched and sent after the backup was made. Make sure before you launch it. Restored "
)

func stamp(at schema.Time) string { return at.T().Format("2006-01-02 15:04 MST.") }
