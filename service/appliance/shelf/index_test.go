package shelf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bijou"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestALineThatIsTornOrUnreadableCostsItsFileAlone(t *testing.T) {
	x := newShelf(t)
	one, two := x.filled(t, "ast_a/1", 1000), x.filled(t, "ast_a/2", 2000)
	x.close(t)
	path := x.indexPath("ast_a")
	appendTo(t, path, `{"name":"ast_a/3","size":3`)
	x.open(t)
	x.sound(t)
	x.want(t, "ast_a/1", one, true)
	x.filled(t, "ast_a/3", 3000)
	x.close(t)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, []byte(`ast_a/2`))
	raw[at+20] ^= 0x80
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, strings.Repeat("x", 5*maxLine)+"\n")
	x.open(t)
	x.sound(t)
	if x.Has("ast_a/2") || !x.Has("ast_a/1") || !x.Has("ast_a/3") {
		t.Errorf("got %+v, want the file whose line cannot be read gone, and no other", x.Stats())
	}
	x.want(t, "ast_a/2", two, false)
	x.sound(t)
}

func TestWhatAKillLeavesIsClearedAwayAtTheStart(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/v/1", 1000)
	x.filled(t, "ast_b/1", 1000)
	x.filled(t, "ast_c/1", 1000)
	x.close(t)
	for path, text := range map[string]string{
		x.path("incoming", "7"):            "half",
		x.Path("ast_a/v/2"):                "renamed, and not in the index",
		x.path("index", "ast_a.jsonl.new"): "a rewrite",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Remove(x.indexPath("ast_b")), os.Remove(x.Path("ast_c/1"))); err != nil {
		t.Fatal(err)
	}
	x.open(t)
	x.sound(t)
	if st := x.Stats(); st.Files != 1 {
		t.Errorf("got %+v, want the one file that is whole", st)
	}
	x.want(t, "ast_a/v/1", b, true)
	var left []string
	for _, pattern := range []string{"*/ast_b*", "index/*", "incoming/*"} {
		found, err := filepath.Glob(x.path(filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	if d := cmp.Diff([]string{x.indexPath("ast_a")}, left); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}

func TestAnIndexDoesNotGrowWithWhatWasThrownOut(t *testing.T) {
	x := newShelf(t, func(o *Options) { o.Cap = 20_000 })
	for i := range 500 {
		x.filled(t, fmt.Sprintf("ast_a/%d", i), 1000)
	}
	raw, err := os.ReadFile(x.indexPath("ast_a"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(raw, []byte("\n")); lines > 2*20+maxDead+3 {
		t.Errorf("the index of 20 files has %d lines", lines)
	}
	x.sound(t)
}

func TestNamesOfForeignOriginsAreKeptUnderSafeOnes(t *testing.T) {
	x := newShelf(t)
	names := []string{
		"films/Ein Film %20 (1).mp4", "films/Ein Film %2520 (1).mp4", "films/.hidden", "films/%2Ehidden", "films/a\xff\xfe.mp4", "films/CON", "films/a\nb", "films/%%",
		"кино/" + strings.Repeat("длинное имя ", 20) + "1.mp4", "кино/" + strings.Repeat("длинное имя ", 20) + "2.mp4",
		"films/" + strings.Repeat("a", 300), strings.Repeat("b", 300) + "/1", "films/-rf", "films/~", `films/a\b`, "films/a:b",
	}
	for _, name := range names {
		x.filled(t, name, 100)
	}
	x.reopen(t)
	x.sound(t)
	for _, name := range names {
		x.want(t, name, truth(name, 100), true)
	}
	if got, want := x.Path("ast_x/v480/3.m4s"), filepath.Join(x.dir, "files", "ast_x", "v480", "3.m4s"); got != want {
		t.Errorf("path of a plain name: got %s, want %s", got, want)
	}
}

func TestWhatIsNoNameIsRefused(t *testing.T) {
	x := newShelf(t)
	for _, name := range []string{"", "a", "/a", "a/", "a/../b", "../a/b", "a//b", "a/./b", "a/..", "a/b/", "a/\x00", strings.Repeat("a/", 600) + "b"} {
		x.wantError(t, name, bijou.Invalid)
	}
	for name := range map[string]int{"a/...": 0, "a/..b": 0, "a/b..": 0} {
		x.filled(t, name, 10)
	}
	x.sound(t)
}

func TestEveryKeyThatHasTwoPartsIsANameAndStandsForItself(t *testing.T) {
	part := `[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,30}`
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.StringMatching(part+`(/`+part+`){1,5}`).Draw(r, "key")
		if err := bijou.CheckKey(key); err != nil {
			r.Fatal(err)
		}
		if err := checkName(key); err != nil || safe(key) != key {
			r.Errorf("%q: got %q, %v", key, safe(key), err)
		}
	})
}

func TestTwoProcessesDoNotShareADirectory(t *testing.T) {
	x := newShelf(t)
	if _, err := Open(x.o, x.origin); !errors.Is(err, bijou.Conflict) {
		t.Errorf("got %v, want Conflict", err)
	}
}

func TestADirectoryOfANewerVersionIsRefused(t *testing.T) {
	x := newShelf(t)
	b := x.filled(t, "ast_a/1", 10)
	for text, want := range map[string]bijou.Kind{"2\n": bijou.Unsupported, "nonsense": bijou.Corrupt, "0": bijou.Corrupt} {
		x.close(t)
		if err := os.WriteFile(x.path("format"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(x.o, x.origin); !errors.Is(err, want) {
			t.Errorf("format %q: got %v, want %q", text, err, want)
		}
		if err := os.WriteFile(x.path("format"), nil, 0o600); err != nil { // a kill before it was written
			t.Fatal(err)
		}
		x.open(t)
		x.want(t, "ast_a/1", b, true)
	}
}

func TestADirectoryThatCannotBeMadeOrHasNoRoomIsRefused(t *testing.T) {
	x := newShelf(t)
	o := x.o
	o.Dir = x.path("format", "below a file")
	if _, err := Open(o, x.origin); !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("got %v, want Unavailable and the directory named", err)
	}
	o = x.o
	o.Cap = 0
	if _, err := Open(o, x.origin); !errors.Is(err, bijou.Invalid) {
		t.Errorf("no room: got %v, want Invalid", err)
	}
}

func FuzzParseIndex(f *testing.F) {
	hash := strings.Repeat("a", 64)
	f.Add([]byte(`{"name":"ast_a/1","size":3,"sha256":"` + hash + `"}` + "\n" + `{"name":"ast_a/1","gone":true}` + "\n"))
	f.Add([]byte(`{"name":"../x","sha256":""}`))
	f.Add([]byte(`{"name":"YS//","base64":true,"sha256":"` + hash + `"}` + "\n"))
	f.Add([]byte("\x00\n{"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		files, dead, _ := parseIndex(bytes.NewReader(raw))
		if dead < 0 {
			t.Errorf("%d lines count no more", dead)
		}
		var again bytes.Buffer
		for name, l := range files {
			if checkName(name) != nil || l.Gone || l.Size < 0 || name != l.Name {
				t.Fatalf("took %+v", l)
			}
			b, err := itemOf(l).line().encode()
			if err != nil {
				return // longer than it was, by how JSON writes it
			}
			again.Write(b)
		}
		got, dead, whole := parseIndex(&again)
		if len(got) != len(files) || dead != 0 || !whole {
			t.Fatalf("written again: got %d of %d lines, %d dead, %v", len(got), len(files), dead, whole)
		}
		for name, l := range files {
			if o := got[name]; o.Size != l.Size || !strings.EqualFold(o.SHA256, l.SHA256) || o.ETag != l.ETag || o.MediaType != l.MediaType || !o.Modified.Equal(l.Modified) {
				t.Errorf("written again: got %+v, want %+v", o, l)
			}
		}
	})
}

func FuzzSafe(f *testing.F) {
	f.Add("ast_a/1.m4s", "ast_a/.hidden")
	f.Add("a/.x", "a/%2Ex")
	f.Add("a/"+strings.Repeat("ä", 100), "a/"+strings.Repeat("ä", 101))
	f.Add("a/%%", "a/%25%25")
	f.Fuzz(func(t *testing.T, a, b string) {
		if checkName(a) != nil || checkName(b) != nil {
			return
		}
		x, y := safe(a), safe(b)
		if (x == y) != (a == b) {
			t.Errorf("%q and %q become %q and %q", a, b, x, y)
		}
		if filepath.Clean(x) != x || strings.HasPrefix(x, ".") || strings.Contains(x, "/.") || filepath.IsAbs(x) || strings.Count(x, "/") != strings.Count(a, "/") {
			t.Errorf("%q becomes %q, which is no safe path", a, x)
		}
		for part := range strings.SplitSeq(x, "/") {
			if len(part) > maxPart {
				t.Errorf("%q becomes %q, which has a part of %d bytes", a, x, len(part))
			}
		}
	})
}
