package rights

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"beckon/schema"
)

// WriteMarkdown writes the register for people. Whatever the installation says of itself is shown as
// text: none of it becomes a link, a heading or another column.
func (r Register) WriteMarkdown(w io.Writer) error {
	m := &markdown{bufio.NewWriter(w)}
	m.line("# Record of processing activities")
	m.line("")
	m.line("Drawn up from what is in force on %s (GDPR Art. 30).", r.AsOf.T().Format("2 January 2006, 15:04 UTC"))
	m.heading("Who answers for it")
	for _, c := range r.Controllers {
		m.line("### %s", text(c.Name))
		m.line("")
		for _, f := range []struct{ name, value string }{
			{"Role", c.Role}, {"Postal address", c.Address}, {"Contact for privacy", c.PrivacyEmail}, {"Phone", c.Phone},
			{"Privacy policy", c.PrivacyURL}, {"Complaints", c.ComplaintURL}, {"Tracking of its campaigns, unless set otherwise", c.Tracking},
		} {
			m.line("- %s: %s", f.name, stated(f.value))
		}
		m.line("")
	}
	if len(r.Controllers) == 0 {
		m.line("No company is set up.")
	}
	m.heading("What is done")
	for i, a := range r.Activities {
		bases := make([]string, len(a.Bases))
		for j, b := range a.Bases {
			bases[j] = words(string(b))
		}
		rights := make([]string, len(a.Rights))
		for j, right := range a.Rights {
			rights[j] = string(right)
		}
		m.line("### %d. %s", i+1, text(a.Name))
		m.line("")
		m.line("- Purpose: %s", text(a.Aim))
		m.line("- Lawful basis: %s (%s)", strings.Join(bases, ", "), text(a.Footing))
		for _, f := range []struct {
			name  string
			items []string
		}{{"Whose data", a.Subjects}, {"Which data", a.Data}, {"From", a.From}, {"Recipients", a.Recipients}, {"Kept", a.Retention}, {"Rights", rights}} {
			m.items(f.name, f.items)
		}
		m.line("")
	}
	m.heading("Data providers")
	m.table([]string{"Provider", "Policy", "Lawful basis", "Permitted uses", "Licence ends", "Recalled"}, len(r.Providers), func(i int) []string {
		p := r.Providers[i]
		return []string{p.Name, first(p.TransparencyURL, p.PrivacyURL), p.LawfulBasis, strings.Join(p.PermittedUses, ", "), day(p.LicensedUntil), day(p.RecalledAt)}
	})
	m.heading("Systems, and where they are")
	m.table([]string{"System", "Host", "Country", "Outside EEA and UK", "On the way"}, len(r.Systems), func(i int) []string {
		s, t := r.Systems[i], r.Transfers[i]
		outside := ""
		if t.Outside != nil {
			outside = map[bool]string{true: "yes", false: "no"}[*t.Outside]
		}
		return []string{s.Kind, s.Name, s.Country, outside, s.Protection}
	})
	m.heading("How long data is kept")
	m.table([]string{"Purpose", "What", "Kept for", "From", "Then", "Set"}, len(r.Rules), func(i int) []string {
		rule := r.Rules[i]
		set := "as it ships"
		if rule.ChangedAt != 0 {
			set = day(rule.ChangedAt)
		}
		return []string{string(rule.Purpose), rule.Title, rule.Keep.String(), rule.Clock, string(rule.Action), set}
	})
	m.heading("Written decisions to keep data longer")
	m.table([]string{"Decision", "Covers", "Reference", "Since", "Until"}, len(r.Decisions), func(i int) []string {
		d := r.Decisions[i]
		until := day(d.Until)
		if d.Until == 0 {
			until = "it is released"
		}
		return []string{d.Kind, d.Covers, d.Reference, day(d.Since), until}
	})
	m.heading("Groups of people beside campaigns")
	m.table([]string{"Group", "Lawful basis", "Rights"}, len(r.Groups), func(i int) []string {
		g := r.Groups[i]
		var rights []string
		for _, right := range RightsOf(g.Basis) {
			rights = append(rights, string(right))
		}
		return []string{g.Group, words(string(g.Basis)), strings.Join(rights, ", ")}
	})
	m.heading("How it is protected")
	for _, s := range r.Measures {
		m.line("- %s", text(s))
	}
	if err := m.w.Flush(); err != nil {
		return fmt.Errorf("rights: write the register: %w", err)
	}
	return nil
}

type markdown struct{ w *bufio.Writer }

func (m *markdown) line(format string, args ...any) {
	fmt.Fprintf(m.w, format+"\n", args...)
}

func (m *markdown) heading(s string) { m.line("\n## %s\n", s) }

func (m *markdown) items(name string, items []string) {
	switch len(items) {
	case 0:
		m.line("- %s: none", name)
	case 1:
		m.line("- %s: %s", name, text(items[0]))
	default:
		if !slices.ContainsFunc(items, func(s string) bool { return strings.ContainsAny(s, " ,;") }) {
			m.line("- %s: %s", name, text(strings.Join(items, ", ")))
			return
		}
		m.line("- %s:", name)
		for _, s := range items {
			m.line("  - %s", text(s))
		}
	}
}

func (m *markdown) table(columns []string, n int, row func(int) []string) {
	if n == 0 {
		m.line("None.")
		return
	}
	m.line("| %s |", strings.Join(columns, " | "))
	m.line("|%s", strings.Repeat("---|", len(columns)))
	for i := range n {
		cells := row(i)
		for j, c := range cells {
			if cells[j] = text(c); c == "" {
				cells[j] = "–"
			}
			if c == "" && columns[j] == "Country" {
				cells[j] = notDeclared
			}
		}
		m.line("| %s |", strings.Join(cells, " | "))
	}
}

const notDeclared = "not declared"

func stated(s string) string {
	if strings.TrimSpace(s) == "" {
		return notDeclared
	}
	return text(s)
}

// text shows s as it is: on one line, with what Markdown or HTML would read as more than text escaped.
func text(s string) string {
	var b strings.Builder
	for _, c := range strings.Join(strings.Fields(s), " ") {
		if strings.ContainsRune("\\`*_[]<>|#~", c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// words reads a slug as words.
func words(slug string) string { return strings.ReplaceAll(slug, "-", " ") }

func day(t schema.Time) string {
	if t == 0 {
		return ""
	}
	return t.T().Format(time.DateOnly)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
