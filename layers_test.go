package bijou_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// module is the path that every package of the house begins with.
const module = "bijou"

// The layers, lowest first. A package imports only layers below its own.
const (
	layerRoot = iota // the vocabulary, package bijou
	layerWire
	layerKit
	layerRoom // service, engine, web and viewer: side by side, they do not know each other
	layerApp
	layerCmd
	layerTest // test/: may see everything, nothing sees it
)

// layers gives the layer of each folder at the top that holds Go.
var layers = map[string]int{
	"":        layerRoot,
	"wire":    layerWire,
	"kit":     layerKit,
	"service": layerRoom,
	"engine":  layerRoom,
	"web":     layerRoom,
	"viewer":  layerRoom,
	"app":     layerApp,
	"cmd":     layerCmd,
	"test":    layerTest,
}

const layerRule = "cmd > app > {service, engine, web} > kit > wire > bijou > standard library"

// kitRooms is the closed list of plumbing that every room needs.
var kitRooms = []string{"run", "rpc", "guard", "watch", "conf", "trust"}

// forbiddenFolders say nothing about what is in them.
var forbiddenFolders = []string{"internal", "pkg", "src", "util", "utils", "common"}

// The root package is a vocabulary: it stays small enough to be read in one sitting.
const maxRootLines = 2500

// thirdParty lists, for each package of the house, the modules of others that it may import, and why.
// Only kit, engine, wire, the rooms and cmd may be named here. An entry that nobody needs any more fails the test too.
var thirdParty = map[string][]string{
	// The operator's commands, flags and help; the terminal's width and whether there is one; how wide a character is.
	"cmd/bijou": {"github.com/alecthomas/kong", "golang.org/x/term", "golang.org/x/text"},

	// Cassandra's own protocol, by the Apache project itself; some queries of one call at the same time.
	"engine/cassandra": {"github.com/apache/cassandra-gocql-driver/v2", "golang.org/x/sync"},
	// The languages that films name, as BCP 47.
	"engine/ffmpeg": {"golang.org/x/text"},
	// Counters of what the cache is good for: hits, misses, failures, bytes.
	"engine/cached": {"github.com/prometheus/client_golang"},
	// Kafka's protocol: connections, sign-in, requests and answers, what a fetch holds; a bound on what waits.
	"engine/kafka": {"github.com/twmb/franz-go", "golang.org/x/sync"},
	// A cache bounded by bytes, with a time to live for each entry, that keeps what is read often (W-TinyLFU).
	"engine/memory": {"github.com/maypok86/otter/v2"},
	// The protocol of S3 with its signatures, and the usual variables and files of AWS; one group of goroutines for the parts of an upload.
	"engine/s3": {"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "golang.org/x/sync"},
	// E-mail by SMTP with STARTTLS, sign-in and encodings, by who keeps that up.
	"engine/smtp": {"github.com/wneessen/go-mail"},
	// MySQL's protocol; versioned migrations; text folded for search.
	"engine/mysql": {"github.com/go-sql-driver/mysql", "github.com/pressly/goose/v3", "golang.org/x/text"},
	// SQLite without cgo, so the one binary needs no C library; versioned migrations; text folded for search.
	"engine/sqlite": {"modernc.org/sqlite", "github.com/pressly/goose/v3", "golang.org/x/text"},

	// OpenAPI 3.1 schemas and validation from the Go types of a declaration; requests counted and timed.
	"kit/rpc": {"github.com/danielgtaylor/huma/v2", "github.com/prometheus/client_golang"},
	// YAML with the line and column of each value, so that a message can name the place.
	"kit/conf": {"github.com/goccy/go-yaml"},
	// Metrics in the form that every monitoring system reads; whether the log goes to a terminal.
	"kit/watch": {"github.com/prometheus/client_golang", "golang.org/x/term"},

	// Argon2id for passwords.
	"kit/trust": {"golang.org/x/crypto"},

	// Counters of its craft: bytes served, grants refused; one group of goroutines for its parts; sendfile(2) without copies.
	"service/appliance": {"github.com/prometheus/client_golang", "golang.org/x/sync", "golang.org/x/sys"},
	// Advice to the system to forget a file's copy in memory, so that a check reads the disk.
	"service/appliance/shelf": {"golang.org/x/sys"},
	// Counters of its craft: facts accepted, refused and late.
	"service/events": {"github.com/prometheus/client_golang"},
	// Quantiles that merge (DDSketch); counters of its craft: starts, failures, stalls; one group of goroutines for its partitions.
	"service/pulse": {"github.com/DataDog/sketches-go", "github.com/prometheus/client_golang", "golang.org/x/sync"},
	// Encryption of backups by a passphrase, as a program reads that others have too; one flush of a whole file system, syncfs(2).
	"service/recovery": {"filippo.io/age", "golang.org/x/sys"},
	// Counters of its craft: reports, decisions, appliances.
	"service/steering": {"github.com/prometheus/client_golang"},
	// Language tags in their usual form (BCP 47).
	"service/catalog": {"golang.org/x/text"},
	// One group of goroutines for its partitions.
	"service/members": {"golang.org/x/sync"},
	// OpenID Connect, on the OAuth 2.0 that it is built on: discovery, keys that change, ID tokens.
	"service/members/signon": {"github.com/coreos/go-oidc/v3", "golang.org/x/oauth2"},
	// MP4 boxes are this room's craft; language tags and their names; one group of goroutines for its workers.
	"service/studio": {"github.com/Eyevinn/mp4ff", "golang.org/x/text", "golang.org/x/sync"},

	// The characters of Windows-1252.
	"wire/captions": {"golang.org/x/text"},
	// Unicode normalization form C, which RFC 8216bis section 4.1 demands of playlists.
	"wire/hls": {"golang.org/x/text"},
}

// source is one Go file of the house.
type source struct {
	path      string // below the root, with slashes
	folder    string // "" is the root
	test      bool   // named _test.go
	generated bool   // carries the mark of generated code
	text      []byte
	file      *ast.File
}

// tree is everything the house rules are asked of.
type tree struct {
	fset    *token.FileSet
	sources []source
	folders []string // every folder, also those without Go
	files   []string // every file
}

// notOurs are folders that git ignores or that belong to a tool: no rule is asked of them.
var notOurs = []string{".git", "node_modules", "bin", "data", ".idea", ".vscode"}

// house reads the tree once for all tests of this package. Build tags are not looked at: a rule holds under each of them.
var house = sync.OnceValues(func() (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	root := os.DirFS(".")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(notOurs, entry.Name()):
			return fs.SkipDir
		case entry.IsDir():
			t.folders = append(t.folders, name)
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		t.files = append(t.files, name)
		if path.Ext(name) != ".go" || strings.Contains("/"+name, "/testdata/") {
			return nil
		}
		return t.read(root, name)
	})
	return t, err
})

// read parses one Go file and keeps it.
func (t *tree) read(root fs.FS, name string) error {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(t.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	folder := path.Dir(name)
	if folder == "." {
		folder = ""
	}
	t.sources = append(t.sources, source{
		path:      name,
		folder:    folder,
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(file),
		text:      text,
		file:      file,
	})
	return nil
}

// loadHouse gives the tree, or ends the test where a file cannot be read or parsed.
func loadHouse(t *testing.T) *tree {
	t.Helper()
	all, err := house()
	if err != nil {
		t.Fatalf("read the house: %v", err)
	}
	return all
}

// imports gives the paths that a file imports.
func (s source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, "`\""))
	}
	return paths
}

// lines counts the lines of a file.
func (s source) lines() int { return bytes.Count(s.text, []byte("\n")) }

// exempt says whether the dependency rule does not bind a file: tests see what they check.
func (s source) exempt() bool { return s.test || top(s.folder) == "test" }

// top is the first part of a folder: "service" of "service/studio".
func top(folder string) string {
	first, _, _ := strings.Cut(folder, "/")
	return first
}

// unit is the part of the house that a folder belongs to: a room with its own sub-packages, an engine, a protocol.
func unit(folder string) string {
	parts := strings.SplitN(folder, "/", 3)
	if len(parts) == 3 {
		parts = parts[:2]
	}
	switch top(folder) {
	case "app", "web", "viewer":
		parts = parts[:1]
	}
	return strings.Join(parts, "/")
}

// insideFolder gives the folder of an import of the house, and whether it is one.
func insideFolder(imported string) (string, bool) {
	if imported == module {
		return "", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// external says whether an import is another's module: the standard library's paths have no dot in their first part.
func external(imported string) bool { return strings.Contains(top(imported), ".") }

// moduleOf gives the module of an import as it is named in a package's list, or "" if none of them holds it.
func moduleOf(imported string, modules []string) string {
	for _, name := range modules {
		if imported == name || strings.HasPrefix(imported, name+"/") {
			return name
		}
	}
	return ""
}

// layerFault says which rule a file of folder from breaks by importing folder to, or nothing.
func layerFault(from, to string) string {
	above, known := layers[top(from)]
	below, knownBelow := layers[top(to)]
	switch {
	case !known:
		return "only the folders of layers_test.go hold Go"
	case !knownBelow:
		return "there is no such folder in the house"
	case below == layerTest:
		return "test/ is seen by tests alone"
	case unit(from) == unit(to):
		return ""
	case top(from) == "viewer" && top(to) != "wire":
		return "viewer imports nothing of the house but wire and the generated public client (viewer/…)"
	case above == layerKit && below == layerKit:
		return ""
	case above == below:
		return "no package imports a sibling of its layer; what crosses is a contract or a noun at the root"
	case above < below:
		return layerRule
	}
	return ""
}

func TestEveryPackageImportsOnlyTheLayersBelowItsOwn(t *testing.T) {
	for _, file := range loadHouse(t).sources {
		if _, known := layers[top(file.folder)]; !known {
			t.Errorf("%s: the folder %s is not part of the house: Go lies in %s",
				file.path, file.folder, strings.Join(slices.Sorted(maps.Keys(layers)), " "))
			continue
		}
		if file.exempt() {
			continue
		}
		for _, imported := range file.imports() {
			to, inside := insideFolder(imported)
			if !inside {
				continue
			}
			if rule := layerFault(file.folder, to); rule != "" {
				t.Errorf("%s imports %s\n\trule: %s", file.path, imported, rule)
			}
		}
	}
}

func TestTheLayerRuleRefusesWhatItShould(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"cmd/bijou", "app", true},
		{"app", "service/studio", true},
		{"app", "engine/sqlite", true},
		{"service/studio", "service/studio/ladder", true},
		{"service/studio", "kit/rpc", true},
		{"kit/rpc", "kit/guard", true},
		{"wire/grant", "", true},
		{"viewer", "wire/hls", true},
		{"viewer", "viewer/client", true},
		{"service/studio", "service/catalog", false},
		{"service/studio", "engine/sqlite", false},
		{"engine/sqlite", "engine/logfile", false},
		{"web", "service/gateway", false},
		{"wire/hls", "wire/grant", false},
		{"wire/hls", "kit/rpc", false},
		{"kit/rpc", "service/gateway", false},
		{"", "wire/grant", false},
		{"app", "cmd/bijou", false},
		{"viewer", "", false},
		{"viewer", "kit/rpc", false},
		{"app", "test/contract", false},
		{"lib/x", "wire/grant", false},
	} {
		if rule := layerFault(c.from, c.to); (rule == "") != c.allowed {
			t.Errorf("%q imports %q: got rule %q, want allowed %v", c.from, c.to, rule, c.allowed)
		}
	}
}

func TestTheRootPackageImportsTheStandardLibraryAlone(t *testing.T) {
	total := 0
	for _, file := range loadHouse(t).sources {
		if file.folder != "" || file.test {
			continue
		}
		total += file.lines()
		for _, imported := range file.imports() {
			if _, inside := insideFolder(imported); inside || external(imported) {
				t.Errorf("%s imports %s\n\trule: the root package imports the standard library alone", file.path, imported)
			}
		}
	}
	if total > maxRootLines {
		t.Errorf("the root package has %d lines, want at most %d: it is a vocabulary", total, maxRootLines)
	}
}

func TestThirdPartyModulesComeInOnlyWhereTheListNamesThem(t *testing.T) {
	used := map[string]bool{}
	for _, file := range loadHouse(t).sources {
		if file.exempt() {
			continue
		}
		for _, imported := range file.imports() {
			if !external(imported) {
				continue
			}
			name := moduleOf(imported, thirdParty[file.folder])
			used[file.folder+" "+name] = true
			if name == "" {
				t.Errorf("%s imports %s\n\trule: each module of others is named for its package, with the reason, in thirdParty of layers_test.go", file.path, imported)
			}
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(thirdParty)) {
		if !slices.Contains([]string{"kit", "engine", "wire", "service", "cmd"}, top(folder)) {
			t.Errorf("thirdParty names %s\n\trule: third-party modules come in through kit, engine, wire or a room; cmd may use the CLI library", folder)
		}
		for _, name := range thirdParty[folder] {
			if !used[folder+" "+name] {
				t.Errorf("thirdParty allows %s in %s, which does not import it: take the entry out", name, folder)
			}
		}
	}
}

func TestPackagesLieAtMostThreeDeep(t *testing.T) {
	for _, file := range loadHouse(t).sources {
		if depth := len(strings.Split(file.folder, "/")); depth > 3 {
			t.Errorf("%s is %d folders deep, want at most 3", file.path, depth)
		}
	}
}

func TestNoFolderHasANameThatSaysNothing(t *testing.T) {
	for _, folder := range loadHouse(t).folders {
		if slices.Contains(forbiddenFolders, path.Base(folder)) {
			t.Errorf("folder %s: the names %s are not used: say what is in it", folder, strings.Join(forbiddenFolders, ", "))
		}
	}
}

func TestKitIsAClosedList(t *testing.T) {
	for _, folder := range loadHouse(t).folders {
		name, below := strings.CutPrefix(folder, "kit/")
		if below && !slices.Contains(kitRooms, top(name)) {
			t.Errorf("folder %s: kit holds %s and nothing else", folder, strings.Join(kitRooms, ", "))
		}
	}
}
