package bijou_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

// The sizes that keep a piece of code readable in one sitting.
const (
	maxFunctionLines    = 80
	maxFileLines        = 800
	maxInterfaceMethods = 7
	maxParameters       = 6
)

func TestNoFileIsLongerThanOneSitting(t *testing.T) {
	for _, file := range loadHouse(t).sources {
		if n := file.lines(); n > maxFileLines && !file.generated {
			t.Errorf("%s has %d lines, want at most %d: split it by what its parts are about", file.path, n, maxFileLines)
		}
	}
}

func TestNoFunctionIsLongerThanAScreenOrTakesMoreThanAHandfulOfParameters(t *testing.T) {
	house := loadHouse(t)
	for _, file := range house.sources {
		if file.generated {
			continue
		}
		ast.Inspect(file.file, func(n ast.Node) bool {
			var kind *ast.FuncType
			name := "a function"
			switch f := n.(type) {
			case *ast.FuncDecl:
				kind, name = f.Type, f.Name.Name
			case *ast.FuncLit:
				kind = f.Type
			default:
				return true
			}
			begin := house.fset.Position(n.Pos())
			if lines := house.fset.Position(n.End()).Line - begin.Line + 1; lines > maxFunctionLines {
				t.Errorf("%s:%d: %s has %d lines, want at most %d", file.path, begin.Line, name, lines, maxFunctionLines)
			}
			if n := kind.Params.NumFields(); n > maxParameters {
				t.Errorf("%s:%d: %s takes %d parameters, want at most %d: give it a struct with names", file.path, begin.Line, name, n, maxParameters)
			}
			if name == "init" {
				t.Errorf("%s:%d: no init: what a package needs is made by New", file.path, begin.Line)
			}
			return true
		})
	}
}

func TestInterfacesAreSmall(t *testing.T) {
	for _, file := range loadHouse(t).sources {
		ast.Inspect(file.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if i, ok := spec.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxInterfaceMethods {
				t.Errorf("%s: interface %s has %d methods, want at most %d", file.path, spec.Name.Name, i.Methods.NumFields(), maxInterfaceMethods)
			}
			return true
		})
	}
}

func TestEveryPackageOpensWithASentenceAboutItself(t *testing.T) {
	said := map[string]bool{}
	for _, file := range loadHouse(t).sources {
		if file.test {
			continue
		}
		name := file.file.Name.Name
		said[file.folder] = said[file.folder] || false
		doc := file.file.Doc.Text()
		want := "Package " + name + " "
		if name == "main" {
			want = "Command "
		}
		if strings.HasPrefix(doc, want) && strings.Contains(doc, ".") {
			said[file.folder] = true
		}
	}
	for folder, ok := range said {
		if !ok {
			t.Errorf("package in folder %q has no sentence that begins with its name: say what it is for", folder)
		}
	}
}

// Time belongs to the test: only whole-system tests and measurements may wait for a real clock.
func TestTestsNeitherSkipNorSleep(t *testing.T) {
	for _, file := range loadHouse(t).sources {
		if !file.test && top(file.folder) != "test" {
			continue
		}
		mayWait := file.folder == "test/system" || file.folder == "test/bench"
		ast.Inspect(file.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			on, _ := sel.X.(*ast.Ident)
			switch {
			case slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name):
				t.Errorf("%s: a test that is skipped proves nothing", file.path)
			case on != nil && on.Name == "time" && sel.Sel.Name == "Sleep" && !mayWait && !usesSynctest(file):
				t.Errorf("%s: no test sleeps: use testing/synctest, or a channel", file.path)
			}
			return true
		})
	}
}

func usesSynctest(file source) bool { return slices.Contains(file.imports(), "testing/synctest") }

// What a person committed by mistake: the place of a machine, or what was left for later.
func TestNothingSpeaksOfOneMachineOrIsLeftForLater(t *testing.T) {
	house := loadHouse(t)
	words := []string{"/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "TO" + "DO", "FIX" + "ME", "XX" + "X:"}
	for _, file := range house.sources {
		for _, word := range words {
			if strings.Contains(string(file.text), word) {
				t.Errorf("%s contains %q", file.path, word)
			}
		}
	}
}

func TestEveryCommandOfTheDocumentsExists(t *testing.T) {
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "LICENSE", "Makefile", ".ci/run"} {
		if !slices.Contains(loadHouse(t).files, path.Clean(name)) {
			t.Errorf("%s is missing", name)
		}
	}
}
