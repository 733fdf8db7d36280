package tracker

import (
	"net/http"

	"beckon/tracker/event"

	"github.com/labstack/echo/v4"
)

// pixel is a transparent image of one by one (GIF89a).
var pixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" +
	"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

const refusal = "This link is not complete, or it is not one of ours. Please copy the whole link from the email and try again.\n"

// The values of headers are shared between the answers; nothing changes a value in place.
var (
	noStore    = []string{"no-store, max-age=0"}
	noReferrer = []string{"no-referrer"}
	noIndex    = []string{"noindex, nofollow"}
	noSniff    = []string{"nosniff"}
	crossSite  = []string{"cross-origin"} // some webmail shows no image without it
	gif        = []string{"image/gif"}
	gifLength  = []string{"43"}
	plainText  = []string{"text/plain; charset=utf-8"}
	noLength   = []string{"0"}
)

func common(h http.Header) {
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
	h["X-Robots-Tag"] = noIndex
}

func image(w *echo.Response) error {
	h := w.Header()
	common(h)
	h["Content-Type"], h["Content-Length"] = gif, gifLength
	h["X-Content-Type-Options"] = noSniff
	h["Cross-Origin-Resource-Policy"] = crossSite
	w.WriteHeader(http.StatusOK)
	// The hit is recorded; a reader who is gone by now is no error of ours.
	_, _ = w.Write(pixel)
	return nil
}

// redirect sends the reader on. The target is written as it is: no function that parses, cleans or
// escapes URLs may come between. It was signed, or entered by an operator, so that no reader chose it.
func redirect(w *echo.Response, target string) error {
	h := w.Header()
	common(h)
	h["Location"] = []string{target}
	h["Content-Length"] = noLength
	w.WriteHeader(http.StatusFound)
	return nil
}

func (h *Handler) refuse(c echo.Context, kind event.Kind) error {
	h.Metrics.refused(kind)
	w := c.Response()
	common(w.Header())
	w.Header()["Content-Type"] = plainText
	w.Header()["X-Content-Type-Options"] = noSniff
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(refusal))
	return nil
}
