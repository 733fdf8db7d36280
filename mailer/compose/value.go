package compose

import (
	"errors"
	"fmt"

	"github.com/osteele/liquid/expressions"
	"github.com/osteele/liquid/values"
)

// output is one {{ … }} of a template.
type output struct {
	source string
	place  place

	path     []string // when it is a bare variable
	fallback string
	expr     expressions.Expression // otherwise
	cfg      expressions.Config
}

func (e *engine) output(source string, at place) (*output, error) {
	o := &output{source: source, place: at}
	var ok bool
	if o.path, o.fallback, ok = readPath(source); ok {
		return o, nil
	}
	var err error
	o.expr, err = expressions.Parse(source)
	o.cfg = e.cfg.Config.Config
	return o, err
}

// env is what outputs are evaluated with, for one recipient. The cleaned copy of the fields is made
// when the first expression needs it.
type env struct {
	fields map[string]any
	consts map[string]any
	vars   map[string]any
}

func (v *env) bindings() map[string]any {
	if v.vars == nil {
		v.vars = cleanFields(v.fields, len(v.consts)+8)
		for k, c := range v.consts {
			v.vars[k] = c
		}
	}
	return v.vars
}

// text evaluates the output and escapes it for its place.
func (o *output) text(v *env) (s string, err error) {
	if o.path == nil {
		val, err := o.evaluate(v.bindings())
		if err != nil {
			return "", err
		}
		return stripControls(o.place.render(val)), nil
	}
	var val any = v.fields
	if c, ok := v.consts[o.path[0]]; ok {
		val = map[string]any{o.path[0]: c}
	}
	for _, name := range o.path {
		switch m := values.ToLiquid(val).(type) {
		case map[string]any:
			val = m[name]
		case map[string]string:
			if s, ok := m[name]; ok {
				val = s
			} else {
				val = nil
			}
		default:
			val = nil
		}
	}
	if o.fallback != "" && (val == nil || val == false || values.IsEmpty(val)) {
		val = o.fallback
	}
	if s, ok := val.(string); ok {
		return o.place.render(stripControls(s)), nil
	}
	return o.place.render(stripControls(valueText(val))), nil
}

func (o *output) evaluate(vars map[string]any) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, errors.New("compose: a Liquid output cannot be worked out for this recipient")
		}
	}()
	v, err = o.expr.Evaluate(expressions.NewContext(vars, o.cfg))
	if err != nil { // the cause would quote the value
		err = fmt.Errorf("compose: {{ %s }} cannot be worked out for this recipient", o.source)
	}
	return v, err
}
