package schema_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"beckon/schema/servertest"
)

// owner says which package writes a table and which others may read it. The consent tables belong
// to segments/consent alone: whoever needs them uses the SQL fragments that it exports, so that
// there is no way around the gate.
var owner = map[string]struct {
	writes  string
	reads   []string
	updates []string // may also change rows, never add or remove them
}{
	"settings":             {writes: "cmd/beckon"},
	"api_tokens":           {writes: "cmd/internal/api"},
	"audit_log":            {writes: "segments/rights"},
	"journal_heads":        {writes: "segments/rights"},
	"rights_requests":      {writes: "segments/rights"},
	"rights_links":         {writes: "segments/rights"},
	"subject_groups":       {writes: "segments/rights"},
	"holds":                {writes: "segments/rights"},
	"retention_rules":      {writes: "segments/rights"},
	"retention_extensions": {writes: "segments/rights"},
	"companies":            {writes: "segments", reads: []string{"segments/consent", "mailer", "mailer/queue", "tracker/event", "tracker/report", "cmd/internal/demo"}},
	"sources":              {writes: "segments", reads: []string{"segments/consent", "mailer", "cmd/internal/demo"}},
	"contacts":             {writes: "segments", reads: []string{"segments/consent", "mailer", "mailer/queue", "mailer/bounce", "tracker/event", "cmd/internal/demo"}},
	"imports":              {writes: "segments"},
	"import_rejects":       {writes: "segments"},
	"contact_sources":      {writes: "segments", reads: []string{"segments/consent", "mailer", "cmd/internal/demo"}},
	"segments":             {writes: "segments"},
	"segment_sizes":        {writes: "segments"},
	"catalogue":            {writes: "segments/consent"},
	"notices":              {writes: "segments/consent"},
	"consent_subjects":     {writes: "segments/consent"},
	"consent_ledger":       {writes: "segments/consent"},
	"consent_evidence":     {writes: "segments/consent"},
	"consent_state":        {writes: "segments/consent"},
	"consent_tracking":     {writes: "segments/consent"},
	"consent_requests":     {writes: "segments/consent"},
	"suppressions":         {writes: "segments/consent"},
	"consent_items":        {writes: "segments/consent"},
	"consent_noes":         {writes: "segments/consent"},
	"campaigns":            {writes: "mailer", reads: []string{"segments", "mailer/queue", "mailer/bounce", "tracker/event", "tracker/report", "cmd/internal/demo"}, updates: []string{"mailer/queue"}},
	"links":                {writes: "mailer", reads: []string{"tracker/event", "tracker/report", "cmd/internal/demo"}},
	"messages":             {writes: "mailer/queue", reads: []string{"mailer", "mailer/bounce", "segments", "tracker/event", "tracker/report", "cmd/internal/demo", "cmd/beckon"}, updates: []string{"tracker/event"}},
	"events":               {writes: "tracker/event", reads: []string{"segments", "tracker/counter", "tracker/report", "cmd/internal/demo", "cmd/beckon"}},
	"returns":              {writes: "mailer/bounce"},
	"warmups":              {writes: "mailer/queue"},
	"message_links":        {writes: "tracker/event", reads: []string{"segments", "tracker/report", "cmd/internal/demo"}},
	"contact_regions":      {writes: "tracker/event", reads: []string{"segments"}},
	"counts":               {writes: "tracker/event", reads: []string{"tracker/counter", "tracker/report", "cmd/internal/demo", "cmd/beckon"}},
	"count_heads":          {writes: "tracker/event", reads: []string{"tracker/counter"}},
	"spool_heads":          {writes: "tracker/event"},
}

var naming = regexp.MustCompile(`(?i)\b(from|join|insert\s+into|replace\s+into|update|delete\s+from|truncate(?:\s+table)?|create\s+table|alter\s+table|drop\s+table)\s+(?:only\s+)?"?([a-z_]+)"?`)

type mention struct{ verb, table, where string }

func TestEachTableIsNamedOnlyByThoseWhoMay(t *testing.T) {
	found := statements(t)
	if len(found) == 0 {
		t.Fatal("found no SQL at all: the test looks in the wrong place")
	}
	for _, n := range found {
		dir := filepath.ToSlash(filepath.Dir(n.where[:strings.LastIndex(n.where, ":")]))
		o, ours := owner[n.table]
		if !ours || dir == o.writes {
			continue
		}
		switch reading := n.verb == "from" || n.verb == "join"; {
		case reading && (slices.Contains(o.reads, dir) || slices.Contains(o.updates, dir)):
		case n.verb == "update" && slices.Contains(o.updates, dir):
		default:
			t.Errorf("%s: %s %s: the table belongs to %s", n.where, n.verb, n.table, o.writes)
		}
	}
}

func TestEveryTableHasAnOwner(t *testing.T) {
	db := servertest.SQLite(t)
	var tables []string
	err := db.Select(t.Context(), &tables, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if _, ok := owner[table]; !ok {
			t.Errorf("table %s has no owner", table)
		}
	}
	for table := range owner {
		if !slices.Contains(tables, table) {
			t.Errorf("the table of owners names %s, which does not exist", table)
		}
	}
}

// statements lists every table named in a string of a Go file that is not a test, and in the SQL
// files beside them.
func statements(t *testing.T) []mention {
	t.Helper()
	var found []mention
	add := func(where, text string) {
		for _, m := range naming.FindAllStringSubmatch(text, -1) {
			found = append(found, mention{strings.ToLower(strings.Join(strings.Fields(m[1]), " ")), strings.ToLower(m[2]), where})
		}
	}
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			if d.Name() == "testdata" || name == filepath.Join("schema", "migrations") || (strings.HasPrefix(d.Name(), ".") && name != ".") {
				return filepath.SkipDir
			}
			return nil
		case strings.HasSuffix(name, ".sql"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			add(name+":1", string(b))
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					add(name+":"+strconv.Itoa(fset.Position(lit.Pos()).Line), text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
