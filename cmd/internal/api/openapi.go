package api

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
)

// The OpenAPI document is written by hand, one file per resource, and put together here. Tests
// hold it to the route table and every answer of the tests to it.
//
//go:embed openapi/*.json
var openAPIFiles embed.FS

// OpenAPI returns the document that describes all calls.
func OpenAPI() ([]byte, error) {
	files, err := openAPIFiles.ReadDir("openapi")
	if err != nil {
		return nil, fmt.Errorf("api: OpenAPI document: %w", err)
	}
	whole := map[string]any{}
	for _, f := range files {
		b, err := openAPIFiles.ReadFile("openapi/" + f.Name())
		if err != nil {
			return nil, fmt.Errorf("api: OpenAPI document: %w", err)
		}
		var part map[string]any
		if err := json.Unmarshal(b, &part); err != nil {
			return nil, fmt.Errorf("api: openapi/%s: %w", f.Name(), err)
		}
		if err := join(whole, part); err != nil {
			return nil, fmt.Errorf("api: openapi/%s: %w", f.Name(), err)
		}
	}
	return json.Marshal(whole)
}

// join adds part to whole, object by object; nothing may be said twice.
func join(whole, part map[string]any) error {
	for name, v := range part {
		old, both := whole[name]
		if !both {
			whole[name] = v
			continue
		}
		a, ok := old.(map[string]any)
		b, ok2 := v.(map[string]any)
		if !ok || !ok2 {
			return fmt.Errorf("%s is there twice", name)
		}
		if err := join(a, b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (a *API) openAPI(c echo.Context, _ Token) error {
	c.Response().Header().Set("Cache-Control", "max-age=300")
	return c.JSONBlob(http.StatusOK, a.document)
}
