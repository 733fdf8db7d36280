package api

import (
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// patient lets a body that is streamed take as long as it moves, and no longer: a client that
// neither reads nor writes for the time of a stall loses the connection, and with it the snapshot
// or the file that it held. It returns what ends the patience.
func patient(c echo.Context, stall time.Duration) (end func()) {
	w := c.Response().Writer
	steady := &steady{w, c.Request().Body, http.NewResponseController(w), stall}
	c.Response().Writer = steadyWriter{steady}
	c.Request().Body = steadyBody{steady}
	return func() {
		c.Response().Writer = w
		_ = steady.control.SetWriteDeadline(time.Time{}) // a connection that is kept open serves others
	}
}

type steady struct {
	writer  http.ResponseWriter
	body    io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
}

// Where deadlines are not supported, which is so in tests without a connection, there are none.
func (s *steady) wait(set func(time.Time) error) { _ = set(time.Now().Add(s.stall)) }

type steadyWriter struct{ *steady }

func (s steadyWriter) Header() http.Header         { return s.writer.Header() }
func (s steadyWriter) WriteHeader(status int)      { s.writer.WriteHeader(status) }
func (s steadyWriter) Unwrap() http.ResponseWriter { return s.writer }
func (s steadyWriter) Write(p []byte) (int, error) {
	s.wait(s.control.SetWriteDeadline)
	return s.writer.Write(p)
}

type steadyBody struct{ *steady }

func (s steadyBody) Close() error { return s.body.Close() }
func (s steadyBody) Read(p []byte) (int, error) {
	s.wait(s.control.SetReadDeadline)
	return s.body.Read(p)
}
