package geo

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// wireError is a failure of the connection, as opposed to one of what came over it.
type wireError struct{ error }

func (e wireError) Unwrap() error { return e.error }

// diskError is a failure to write what came.
type diskError struct{ error }

func (e diskError) Unwrap() error { return e.error }

// get asks for one file. The answer is 200, or 304 if since is given; anything else is an error that
// says what to do. Errors never carry the address of a redirect, which is itself a key to the file.
func (u *Updater) get(ctx context.Context, o offer, from string, since time.Time) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, errors.New("the address to download from is not one")
	}
	req.Header.Set("User-Agent", "beckon")
	// A file that is packed already must arrive as it is, or its checksum would be of something else.
	req.Header.Set("Accept-Encoding", "identity")
	if o.user != "" {
		req.SetBasicAuth(o.user, o.password)
	}
	if !since.IsZero() {
		req.Header.Set("If-Modified-Since", since.UTC().Format(http.TimeFormat))
	}
	res, err := u.client().Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, wireError{err}
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusNotModified && !since.IsZero() {
		return res, nil
	}
	res.Body.Close()
	return nil, refusal(res.StatusCode, o, res.Request.URL.Host != req.URL.Host)
}

func refusal(status int, o offer, elsewhere bool) error {
	said := fmt.Sprintf("%d %s", status, http.StatusText(status))
	switch {
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("%w (%s): try again tomorrow", ErrLimit, said)
	case (status == http.StatusUnauthorized || status == http.StatusForbidden) && o.user != "" && !elsewhere:
		return fmt.Errorf("%w (%s): check both, and that the key is still active, under “Manage License Keys” of the MaxMind account", ErrCredentials, said)
	case status == http.StatusNotFound && o.user != "":
		return fmt.Errorf("%w (%s): %s is not an edition that this account may download", ErrNotOffered, said, o.kind)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w (%s): neither this month's file nor last month's is there; check this machine's clock, or try again later", ErrNotOffered, said)
	case status >= 500:
		return fmt.Errorf("the server has a fault of its own (%s): try again later", said)
	case elsewhere:
		return fmt.Errorf("the storage that the download is handed on to refused it (%s): check this machine's clock and any proxy, and try again", said)
	}
	return fmt.Errorf("the server refused the download (%s): a proxy may be in between, or the maker has moved the file", said)
}

// client is the given client, minus the habit of sending credentials on: net/http keeps them for
// subdomains, for other ports and for plain HTTP on the same host.
func (u *Updater) client() *http.Client {
	c := http.Client{}
	if u.Client != nil {
		c = *u.Client
	}
	given := c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		first := via[0].URL
		switch {
		case len(via) >= 10:
			return errors.New("redirected too often")
		case first.Scheme == "https" && req.URL.Scheme != "https":
			return errors.New("redirected to a connection that is not encrypted")
		case req.URL.Host != first.Host || req.URL.Scheme != first.Scheme:
			req.Header.Del("Authorization")
		}
		if given != nil {
			return given(req, via)
		}
		return nil
	}
	return &c
}

// receive unpacks an answer into dst and holds it to the published checksum, if there is one.
func (u *Updater) receive(ctx context.Context, o offer, res *http.Response, dst io.Writer) error {
	limit := u.limit()
	if res.ContentLength > limit {
		return ErrTooLarge
	}
	sum := sha256.New()
	body := io.TeeReader(&limited{wire{res.Body}, limit}, sum)
	if err := o.unpack(dst, body, limit); err != nil {
		return damage(err)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	if o.checksum == "" {
		return nil
	}
	published, err := u.checksum(ctx, o)
	if err != nil {
		return fmt.Errorf("the published checksum: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != published {
		return fmt.Errorf("%w (published %s, downloaded %s): try again, as a new one may have come out meanwhile; if it stays so, something in between alters downloads", ErrChecksum, published, got)
	}
	return nil
}

// damage tells what is wrong with the content of a download from what went wrong on its way.
func damage(err error) error {
	var onWire wireError
	var onDisk diskError
	if errors.As(err, &onWire) || errors.As(err, &onDisk) || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrDamaged, err)
}

// checksum reads the first word of a file as sha256sum writes it.
func (u *Updater) checksum(ctx context.Context, o offer) (string, error) {
	res, err := u.get(ctx, o, o.checksum, time.Time{})
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return "", wireError{err}
	}
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return "", fmt.Errorf("%w: it is empty", ErrChecksum)
	}
	if raw, err := hex.DecodeString(words[0]); err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("%w: what came is not a SHA-256", ErrChecksum)
	}
	return strings.ToLower(words[0]), nil
}

func gunzip(dst io.Writer, src io.Reader, limit int64) error {
	z, err := gzip.NewReader(src)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, &limited{z, limit})
	return err
}

// untar copies the file of the given name, in whatever folder it lies, and reads on to the end, where
// the checksum of the packing is.
func untar(dst io.Writer, src io.Reader, name string, limit int64) error {
	z, err := gzip.NewReader(src)
	if err != nil {
		return err
	}
	plain := &limited{z, limit}
	archive := tar.NewReader(plain)
	found := false
	for {
		entry, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if found || entry.Typeflag != tar.TypeReg || path.Base(entry.Name) != name {
			continue
		}
		// A sparse entry may be far larger than what is stored of it.
		if entry.Size > limit {
			return ErrTooLarge
		}
		if _, err := io.Copy(dst, archive); err != nil {
			return err
		}
		found = true
	}
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("no %s in the archive", name)
	}
	return nil
}

// limited reads up to left bytes and fails on the next one.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

type wire struct{ r io.Reader }

func (w wire) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		err = wireError{err}
	}
	return n, err
}

type disk struct{ w io.Writer }

func (d disk) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		err = diskError{err}
	}
	return n, err
}
