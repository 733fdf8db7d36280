package compose

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/osteele/liquid/expressions"
	"github.com/osteele/liquid/filters"
	"github.com/osteele/liquid/parser"
	"github.com/osteele/liquid/render"
	"github.com/osteele/liquid/tags"
)

// What one rendering may use. A template that needs more is refused when it is compiled, or fails for
// the recipient whose values make it so.
const (
	maxOutput  = 2 << 20         // bytes rendered or captured
	maxValue   = 64 << 10        // bytes that a filter may make
	maxItems   = 1000            // items that a filter may make
	maxSteps   = 20_000          // turns of loops and assignments
	maxRunning = 2 * time.Second // a last resort: the others are reached first
)

// errTooMuch is what a template that explodes or goes round for ever gets.
var errTooMuch = errors.New("the template makes too much text or takes too many steps")

// Names inside rendered templates that no author can write.
const (
	stepsKey   = "\x00steps"
	stepTag    = "beckon_step"
	captureTag = "beckon_capture" // instead of capture, which cannot be redefined
)

// engine is Liquid with limits, without files, and with filters that escape. One is made per
// template; it is safe for concurrent use.
type engine struct {
	cfg     render.Config
	filters map[string]bool // what an author may call
}

// liquidTemplate is a parsed template that is rendered whole.
type liquidTemplate struct {
	node render.Node
	cfg  render.Config
}

// safe is text that is HTML already: what {% capture %} took from a template.
type safe struct{ html string }

func (s safe) String() string { return s.html }

// filterSet collects the names of the filters that go through it.
type filterSet struct {
	cfg   *render.Config
	names map[string]bool
	std   map[string]any
}

func (f filterSet) AddFilter(name string, fn any) {
	f.names[name] = true
	f.std[name] = fn
	f.cfg.AddFilter(name, fn)
}

// newEngine makes an engine; in one for HTML, captured text counts as HTML.
func newEngine(html bool, now func() time.Time) *engine {
	e := &engine{cfg: render.NewConfig(), filters: map[string]bool{}}
	set := filterSet{cfg: &e.cfg, names: e.filters, std: map[string]any{}}
	filters.AddStandardFilters(set)
	addFilters(set, now)
	delete(e.filters, "inspect") // they show how values are kept
	delete(e.filters, "type")
	for name, c := range escapeFilters {
		e.cfg.AddFilter(name, func(v any) string { return c.render(v) })
	}
	tags.AddStandardTags(e.cfg)
	e.cfg.AddTag("include", func(string) (func(io.Writer, render.Context) error, error) {
		return nil, errors.New("include is not available")
	})
	e.cfg.AddTag(stepTag, func(string) (func(io.Writer, render.Context) error, error) {
		return func(_ io.Writer, ctx render.Context) error {
			return ctx.Get(stepsKey).(*steps).take()
		}, nil
	})
	e.cfg.AddBlock(captureTag).Compiler(func(node render.BlockNode) (func(io.Writer, render.Context) error, error) {
		return func(_ io.Writer, ctx render.Context) error {
			out := &bounded{steps: ctx.Get(stepsKey).(*steps)}
			if err := ctx.RenderChildren(out); err != nil {
				return err
			}
			var v any = string(out.buf)
			if html && needsEscape(string(out.buf)) {
				v = safe{string(out.buf)}
			}
			ctx.Set(node.Args, v)
			return nil
		}, nil
	})
	return e
}

// syntax parses one construct on its own.
func (e *engine) syntax(m *mask) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	if m.kind == maskOutput {
		_, err := expressions.Parse(m.args)
		return err
	}
	one := "{% " + m.name + " " + m.args + " %}"
	switch m.name {
	case "elsif", "else":
		one = "{% if true %}" + one + "{% endif %}"
	case "when":
		one = "{% case 1 %}" + one + "{% endcase %}"
	case "assign", "cycle", "break", "continue":
	default:
		if _, opens := blockTags[m.name]; !opens {
			return nil
		}
		one += "{% end" + m.name + " %}"
	}
	if _, err := e.cfg.Compile(one, parser.SourceLoc{}); err != nil {
		return err
	}
	return nil
}

// parse reads a whole template.
func (e *engine) parse(text string) (t *liquidTemplate, err error) {
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("compose: %v", r)
		}
	}()
	node, perr := e.cfg.Compile(text, parser.SourceLoc{})
	if perr != nil {
		return nil, perr
	}
	return &liquidTemplate{node: node, cfg: e.cfg}, nil
}

// render runs the template within the limits. It writes to vars.
func (t *liquidTemplate) render(vars map[string]any) (out string, err error) {
	s := &steps{deadline: time.Now().Add(maxRunning)}
	w := &bounded{steps: s}
	defer func() {
		if r := recover(); r != nil {
			out, err = "", errors.New("compose: the template cannot be rendered with this recipient's values")
			if s.spent {
				err = fmt.Errorf("compose: %w", errTooMuch)
			}
		}
	}()
	vars[stepsKey] = s
	if rerr := render.Render(t.node, w, vars, t.cfg); rerr != nil {
		if s.spent {
			return "", fmt.Errorf("compose: %w", errTooMuch)
		}
		return "", errors.New("compose: the template cannot be rendered with this recipient's values") // the cause would quote them
	}
	return string(w.buf), nil
}

// steps counts what one rendering does.
type steps struct {
	n        int
	deadline time.Time
	spent    bool
}

func (s *steps) take() error {
	s.n++
	if s.n > maxSteps || s.n%64 == 0 && time.Now().After(s.deadline) {
		s.spent = true
		return errTooMuch
	}
	return nil
}

// bounded is a writer that gives up.
type bounded struct {
	buf   []byte
	steps *steps
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.buf)+len(p) > maxOutput {
		b.steps.spent = true
		return 0, errTooMuch
	}
	b.buf = append(b.buf, p...)
	return len(p), nil
}
