package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport says which packages of ours a package may import, and why the line is drawn there.
// Everything not listed is forbidden. The rooms stay small, and the gate cannot be walked around.
var mayImport = map[string]struct {
	of  []string
	why string
}{
	"schema":             {nil, "storage knows no domain"},
	"schema/id":          {nil, "identifiers are a leaf"},
	"schema/servertest":  {[]string{"schema"}, "test servers know storage alone"},
	"geo":                {nil, "a leaf: an address in, a region out"},
	"geo/sample":         {nil, "a leaf: makes a region database to try with"},
	"tracker/bot":        {nil, "a leaf: headers in, a verdict out"},
	"tracker/token":      {[]string{"schema/id"}, "a link is opened without storage"},
	"segments/consent":   {[]string{"schema", "schema/id"}, "the gate depends on nobody it judges"},
	"segments":           {[]string{"schema", "schema/id", "segments/consent"}, "who is in a segment does not depend on what is sent"},
	"segments/rights":    {[]string{"schema", "schema/id"}, "subjects of a right satisfy its interface; it knows none of them"},
	"tracker/event":      {[]string{"schema", "schema/id", "segments/consent"}, "the log asks the gate and knows no HTTP"},
	"tracker/counter":    {[]string{"schema", "schema/id", "tracker/event"}, "counts follow the log"},
	"tracker":            {[]string{"schema", "schema/id", "geo", "tracker/token", "tracker/bot", "tracker/event", "tracker/counter", "segments/consent"}, "handlers translate; they know no campaign and no SQL"},
	"tracker/report":     {[]string{"schema", "schema/id", "tracker/counter", "tracker/event"}, "a report reads and decides nothing"},
	"mailer/compose":     {[]string{"schema/id", "tracker/token"}, "composition is pure: no database, no network"},
	"mailer/doctor":      {[]string{"mailer/queue"}, "it asks the world, and reads nothing of what is stored"},
	"mailer/lint":        {[]string{"mailer/compose"}, "advice about a mail decides nothing, so it needs to know nothing else"},
	"mailer/queue":       {[]string{"schema", "schema/id", "segments/consent"}, "delivery asks the gate and knows no template"},
	"mailer/bounce":      {[]string{"schema", "schema/id", "segments/consent", "mailer/queue", "tracker/token"}, "a report acts on a message and a no; it knows no campaign's mail and no HTTP server"},
	"mailer":             {[]string{"schema", "schema/id", "segments", "segments/consent", "mailer/compose", "mailer/lint", "mailer/queue", "tracker/token"}, "campaigns know who and what, not how it was received"},
	"cmd/internal/api":   {domain, "faces of the service never know each other"},
	"cmd/internal/admin": {domain, "faces of the service never know each other"},
	"cmd/internal/pages": {domain, "faces of the service never know each other"},
	"cmd/internal/hooks": {domain, "faces of the service never know each other"},
	"cmd/internal/demo":  {domain, "the demo is a client of the service and reads what it stored"},
	"cmd/beckon":         {append([]string{"cmd/internal/api", "cmd/internal/admin", "cmd/internal/pages", "cmd/internal/hooks", "cmd/internal/demo"}, domain...), "wiring"},
}

var domain = []string{"schema", "schema/id", "geo", "geo/sample", "segments", "segments/consent", "segments/rights", "tracker", "tracker/bot", "tracker/token",
	"tracker/event", "tracker/counter", "tracker/report", "mailer", "mailer/compose", "mailer/doctor", "mailer/lint", "mailer/queue", "mailer/bounce"}

// echoFiles are the packages whose files may import Echo; elsewhere HTTP is not spoken.
var echoFiles = []string{"tracker", "cmd/internal/api", "cmd/internal/admin", "cmd/internal/pages", "cmd/internal/hooks", "cmd/beckon"}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for dir, files := range packages(t) {
		rule, known := mayImport[dir]
		if !known {
			t.Errorf("package %s is not in the table: say what it may import and why", dir)
			continue
		}
		for _, f := range files {
			for _, spec := range f.imports {
				ours, isOurs := strings.CutPrefix(spec, "beckon/")
				if isOurs && ours != dir && !slices.Contains(rule.of, ours) && !(f.test && ours == "schema/servertest") && !(f.test && slices.Contains(domain, ours)) {
					t.Errorf("%s imports %s, which %s may not: %s", f.name, ours, dir, rule.why)
				}
				if strings.HasPrefix(spec, "github.com/labstack/echo") && !f.test && !slices.Contains(echoFiles, dir) {
					t.Errorf("%s imports Echo: only handlers speak HTTP", f.name)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItGuarantees(t *testing.T) {
	for dir, files := range packages(t) {
		documented := false
		for _, f := range files {
			documented = documented || f.doc
		}
		if !documented {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

func TestTheTopLevelHoldsWhatItMay(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"cmd", "tracker", "mailer", "segments", "geo", "schema", "go.mod", "go.sum", "README.md"}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) && e.Name() != "beckon" {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

const root = "../.."

type file struct {
	name    string
	test    bool
	doc     bool
	imports []string
}

func packages(t *testing.T) map[string][]file {
	t.Helper()
	found := map[string][]file{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || (strings.HasPrefix(d.Name(), ".") && path != root)) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		ast, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f := file{name: name, test: strings.HasSuffix(name, "_test.go"), doc: ast.Doc != nil}
		for _, i := range ast.Imports {
			spec, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, spec)
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		found[dir] = append(found[dir], f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 {
		t.Fatalf("found %d packages below %s: the test looks in the wrong place", len(found), root)
	}
	return found
}
