package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promises are the requirements that a test somewhere must be named after, so that whoever wants to
// know what keeps a promise finds it: TestS11…, or TestL1L4… for several.
var promises = strings.Fields(`
	S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S25 S26 S27 S28 S29 S30
	R1 R2 R3 R4 R5 R6 B1 B3 B4 B5 B17
	L1 L2 L3 L4 L5 L6 L7 L8 L9 L10 L11 L12 L13 L14 L15 L16 L17 L18 L19 L20`)

var promise = regexp.MustCompile(`^[SRBLA][0-9]+`)

func TestEveryPromiseHasATestNamedAfterIt(t *testing.T) {
	proofs := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			name, ok := strings.CutPrefix(fn.Name.Name, "Test")
			for id := promise.FindString(name); ok && id != ""; id = promise.FindString(name) {
				proofs[id] = append(proofs[id], fn.Name.Name)
				name = name[len(id):]
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range promises {
		if len(proofs[id]) == 0 {
			t.Errorf("no test is named after %s", id)
		}
	}
}
