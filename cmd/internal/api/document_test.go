package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"beckon/schema/servertest"

	"github.com/getkin/kin-openapi/openapi3"
)

var parameter = regexp.MustCompile(`:(\w+)`)

func TestTheDocumentAndTheRoutesAreOneList(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			documented[method+" "+path] = op
		}
	}
	for _, r := range routes {
		path := parameter.ReplaceAllString(r.address(), "{$1}")
		name := r.method + " " + path
		op := documented[name]
		if op == nil {
			t.Errorf("%s is not in the document", name)
			continue
		}
		delete(documented, name)
		if op.Responses.Default() == nil || op.Summary == "" || op.OperationID == "" || len(op.Tags) != 1 {
			t.Errorf("%s lacks a default problem, a summary, an operationId or its one tag", name)
		}
		if public := op.Security != nil && len(*op.Security) == 0; public != r.public {
			t.Errorf("%s: the document says public: %v", name, public)
		}
		var roles, query []string
		for _, role := range r.roles {
			roles = append(roles, string(role))
		}
		if !r.public {
			if got := fmt.Sprint(op.Extensions["x-roles"]); got != fmt.Sprint(roles) {
				t.Errorf("%s: the document says %s, the table %v", name, got, roles)
			}
		}
		for _, p := range slices.Concat(op.Parameters, doc.Paths.Value(path).Parameters) {
			if p.Value.In == openapi3.ParameterInQuery {
				query = append(query, p.Value.Name)
			}
		}
		want := slices.Sorted(slices.Values(r.query))
		if slices.Sort(query); !slices.Equal(query, want) {
			t.Errorf("%s: the document has query parameters %q, the table %q", name, query, want)
		}
	}
	for name := range documented {
		t.Errorf("%s is in the document and nowhere else", name)
	}
}

func TestTheDocumentListsEveryKindOfProblem(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, v := range doc.Components.Schemas["Problem"].Value.Properties["type"].Value.Enum {
		listed = append(listed, v.(string))
	}
	var want []string
	for _, k := range kinds {
		want = append(want, k.uri())
	}
	if !slices.Equal(listed, want) {
		t.Errorf("the document lists %q, the code has %q", listed, want)
	}
}

// A schema that lets through what it does not name would hold the tests to nothing.
func TestObjectsOfTheDocumentAreClosed(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range doc.Components.Schemas {
		if s.Value.Type.Is("object") && s.Value.AdditionalProperties.Has == nil && s.Value.AdditionalProperties.Schema == nil {
			t.Errorf("schema %s does not say whether it takes other properties", name)
		}
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	got := w.send(http.MethodGet, "/api/openapi.json", http.Header{}, nil)
	var doc struct{ OpenAPI string }
	got.into(t, http.StatusOK, &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.") || !json.Valid(got.body) {
		t.Errorf("got %s", got.body)
	}
}
