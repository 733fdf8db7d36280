package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"time"
)

// client speaks the JSON API as any program of a marketer would.
type client struct {
	http  *http.Client
	base  string
	token string
}

// call sends body as JSON, if there is one, and reads the answer into out, if that is wanted.
func (c *client) call(ctx context.Context, method, path string, body, out any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("demo: %s %s: %w", method, path, err)
		}
		r = bytes.NewReader(b)
	}
	return c.send(ctx, method, path, "application/json", r, out)
}

func (c *client) send(ctx context.Context, method, path, kind string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1"+path, body)
	if err != nil {
		return fmt.Errorf("demo: %s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("demo: %s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("demo: %s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("demo: %s %s answered %s: %s", method, path, resp.Status, answer)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = answer
		return nil
	default:
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("demo: %s %s: answer: %w", method, path, err)
		}
		return nil
	}
}

// Import is the state of an import as the API tells it.
type Import struct {
	ID       string         `json:"id"`
	Status   string         `json:"status"`
	Rows     int            `json:"rows"`
	Created  int            `json:"created"`
	Updated  int            `json:"updated"`
	Skipped  int            `json:"skipped"`
	Rejected int            `json:"rejected"`
	Mailable int            `json:"mailable"`
	Reasons  map[string]int `json:"reasons"`
	Problem  string         `json:"problem"`
}

// upload sends a file and waits until its import has ended, with no more rejects than the file has bad rows.
func (c *client) upload(ctx context.Context, u upload, progress func(done int)) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for field, value := range map[string]string{"source": u.source, "mapping": u.mapping} {
		if value != "" {
			_ = form.WriteField(field, value) // a bytes.Buffer takes everything
		}
	}
	part, err := form.CreateFormFile("file", u.name)
	if err != nil {
		return fmt.Errorf("demo: upload %s: %w", u.name, err)
	}
	_, _ = part.Write(u.body)
	_ = form.Close()
	var imp Import
	if err := c.send(ctx, http.MethodPost, "/imports", form.FormDataContentType(), &body, &imp); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		if err := c.call(ctx, http.MethodGet, "/imports/"+imp.ID, nil, &imp); err != nil {
			return false, err
		}
		progress(imp.Rows)
		if imp.Status == "failed" {
			return false, fmt.Errorf("demo: import of %s failed: %s", u.name, imp.Problem)
		}
		if imp.Status == "finished" && imp.Rejected != u.bad {
			return false, fmt.Errorf("demo: import of %s rejected %d rows, %d are bad", u.name, imp.Rejected, u.bad)
		}
		return imp.Status == "finished", nil
	})
}

// poll asks until done says so, every 50 ms.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
