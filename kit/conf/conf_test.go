package conf_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/kit/conf"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type config struct {
	Listen string   `yaml:"listen" doc:"Address of the door."`
	Open   bool     `yaml:"open" doc:"Whether guests may come in."`
	Studio studio   `yaml:"studio"`
	Hosts  []string `yaml:"hosts" doc:"Names of the service."`
	Token  string   `yaml:"token" secret:"true" doc:"What the neighbour wants to hear."`
	Pin    int      `yaml:"pin" secret:"true" doc:"A secret that is a number."`
	Hidden int      `yaml:"-"`
}

type studio struct {
	Workers int           `yaml:"workers" doc:"How many at once."`
	Small   uint8         `yaml:"small" doc:"A small number."`
	Share   float64       `yaml:"share" doc:"Part of the whole."`
	Wait    time.Duration `yaml:"wait" doc:"How long."`
	Space   conf.Size     `yaml:"space" doc:"How much."`
	Deep    deep          `yaml:"deep"`
}

type deep struct {
	Name string `yaml:"name" doc:"What it is called."`
}

func (s studio) Check() error {
	if s.Workers < 1 {
		return fmt.Errorf("workers is %d: it must be at least 1: %w", s.Workers, bijou.Invalid)
	}
	if s.Deep.Name == "unlucky" {
		return fmt.Errorf("all names are unlucky: %w", bijou.Invalid)
	}
	return nil
}

func (c *config) Check() error {
	if c.Listen == "nowhere" {
		return fmt.Errorf("listen is nowhere: it must be somewhere: %w", bijou.Invalid)
	}
	return nil
}

func defaults() config {
	return config{Listen: ":1", Open: true, Hosts: []string{"a", "b"}, Studio: studio{Workers: 2, Share: 0.5, Wait: time.Minute, Space: 10 << 30}}
}

// load reads the configuration with the file's text where there is any.
func load(t *testing.T, yaml string, env, sets []string) (config, conf.Origins, string, error) {
	t.Helper()
	src := conf.Sources{Env: env, Prefix: "BIJOU", Sets: sets}
	if yaml != "" {
		src.File = filepath.Join(t.TempDir(), "bijou.yaml")
		if err := os.WriteFile(src.File, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := defaults()
	origins, err := conf.Load(&c, src)
	return c, origins, src.File, err
}

func TestEveryKeyWorksWhenAbsent(t *testing.T) {
	for _, yaml := range []string{"", "# nothing\n", "---\n", "studio:\n", "studio:\n  # workers: 3\n  deep:\n"} {
		got, origins, _, err := load(t, yaml, nil, nil)
		if diff := cmp.Diff(defaults(), got); err != nil || diff != "" || len(origins) != 0 {
			t.Errorf("file %q: got %v, origins %v and a difference (-want +got):\n%s", yaml, err, origins, diff)
		}
	}
}

func TestFlagsWinOverTheEnvironmentOverTheFileOverTheDefaults(t *testing.T) {
	got, origins, file, err := load(t,
		"listen: file\nopen: false\nhosts:\n  - x y\n  - 7\nstudio:\n  workers: 3\n  small: 3\n  wait: 1h30m\n  deep: {name: 'it''s'}\n",
		[]string{"HOME=/", "BIJOU=1", "BIJOUX_LISTEN=no", "BIJOU_STUDIO_WORKERS=4", "BIJOU_STUDIO_SMALL= 4 ", "BIJOU_TOKEN=a=b", "BIJOU_STUDIO_SHARE=0.25"},
		[]string{"studio.small=5", "studio.space=1 MiB", "listen=", "listen=a=b"})
	want := config{
		Listen: "a=b", Hosts: []string{"x y", "7"}, Token: "a=b",
		Studio: studio{Workers: 4, Small: 5, Share: 0.25, Wait: 90 * time.Minute, Space: 1 << 20, Deep: deep{Name: "it's"}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("got %v and a difference (-want +got):\n%s", err, diff)
	}
	wantOrigins := conf.Origins{
		"listen": "setting listen", "open": file + ":2:1", "hosts": file + ":3:1", "token": "BIJOU_TOKEN", "studio.workers": "BIJOU_STUDIO_WORKERS",
		"studio.small": "setting studio.small", "studio.share": "BIJOU_STUDIO_SHARE", "studio.wait": file + ":9:3", "studio.space": "setting studio.space",
		"studio.deep.name": file + ":10:10",
	}
	if diff := cmp.Diff(wantOrigins, origins); diff != "" {
		t.Errorf("other origins (-want +got):\n%s", diff)
	}
}

func TestEverythingThatIsWrongIsTold(t *testing.T) {
	_, _, file, err := load(t, "lisen: x\nstudio:\n  workers: many\n  wait: soon\nlisten: nowhere\n", []string{"BIJOU_STUDIO_SMAL=1", "BIJOU_STUDIO_SHARE=much"},
		[]string{"studio.space=wide", "studio.deep.name=unlucky"})
	wrong, ok := errors.AsType[conf.Errors](err)
	if !ok || !errors.Is(err, bijou.Invalid) {
		t.Fatalf("got %v, want Errors that are Invalid", err)
	}
	want := []string{
		file + ":1:1: key lisen", file + ":3:3: studio.workers", file + ":4:3: studio.wait", "environment variable BIJOU_STUDIO_SMAL",
		"BIJOU_STUDIO_SHARE: studio.share", "setting studio.space: studio.space", "studio: all names are unlucky", file + ":5:1: listen is nowhere",
	}
	for i, w := range want {
		if i >= len(wrong) || !strings.HasPrefix(wrong[i].Error(), w) {
			t.Fatalf("error %d of %d: got %q, want it to begin with %q", i, len(wrong), wrong, w)
		}
	}
	if len(wrong) != len(want) || err.Error() != wrong[0].Error() {
		t.Errorf("got %d errors that read as %q, want %d that read as the first", len(wrong), err, len(want))
	}
}

func TestAListIsReadFromOneText(t *testing.T) {
	for text, want := range map[string][]string{"a": {"a"}, "a, b ,c": {"a", "b", "c"}, "": {}, " ": {}} {
		got, _, _, err := load(t, "", nil, []string{"hosts=" + text})
		if err != nil || !cmp.Equal([]string{}, got.Hosts) && !cmp.Equal(want, got.Hosts) || len(want) != len(got.Hosts) {
			t.Errorf("hosts=%s: got %q, %v, want %q", text, got.Hosts, err, want)
		}
	}
}

func TestWhatDoesNotFitIsRefusedWithItsPlaceAndTheFix(t *testing.T) {
	big := strings.Repeat("# padding\n", 1<<17)
	for _, c := range []struct {
		yaml, env, set, want string
	}{
		{yaml: "lisen: x", want: ":1:1: key lisen is unknown: did you mean listen?"},
		{yaml: "studio:\n  wokers: 1", want: ":2:3: key studio.wokers is unknown: did you mean studio.workers?"},
		{yaml: "studo:\n  workers: 1", want: ":1:1: key studo is unknown: did you mean studio?"},
		{yaml: "zebra: 1", want: ":1:1: key zebra is unknown: bijou config print lists those there are"},
		{yaml: "workers: 1", want: ":1:1: key workers is unknown"},
		{yaml: "Listen: x", want: ":1:1: key Listen is unknown: did you mean listen?"},
		{yaml: "listen: x\nlisten: y", want: "listen"},
		{yaml: "studio: 3", want: ":1:9: studio is a section: write its keys below it"},
		{yaml: "listen:\n  a: b", want: "listen must be one value"},
		{yaml: "listen:", want: ":1:1: listen has no value: give one, or remove the line"},
		{yaml: "hosts: a", want: "hosts must be a list: write [a, b]"},
		{yaml: "hosts: [[a]]", want: "hosts must be a list of plain values"},
		{yaml: "studio:\n  workers: two", want: `:2:3: studio.workers is "two": it must be a whole number such as 2`},
		{yaml: "studio:\n  workers: 0", want: ":2:3: studio.workers is 0: it must be at least 1"},
		{set: "studio.workers=0", want: "setting studio.workers: studio.workers is 0: it must be at least 1"},
		{set: "studio.deep.name=unlucky", want: "studio: all names are unlucky"},
		{set: "listen=nowhere", want: "setting listen: listen is nowhere: it must be somewhere"},
		{yaml: "studio:\n  small: 300", want: "it must be a whole number that fits into 8 bits"},
		{yaml: "studio:\n  small: -1", want: "it must be a whole number from 0"},
		{yaml: "studio:\n  share: .nan", want: "studio.share"},
		{yaml: "studio:\n  wait: 5", want: `studio.wait is "5": it must be a duration such as 500ms, 4s or 1h30m`},
		{yaml: "studio:\n  space: 5 parsecs", want: "it must be a size such as 512MiB or 10GiB"},
		{yaml: "open: yes", want: `open is "yes": it must be true or false`},
		{yaml: "- a", want: "the file does not consist of keys"},
		{yaml: "a: [", want: ":1:"},
		{yaml: "listen: a\n---\nlisten: b", want: "holds 2 YAML documents: keep one"},
		{yaml: "listen: &a x\n", want: "listen must be one value"},
		{yaml: "1: x", want: "the key 1 is not a plain name"},
		{yaml: "token: " + conf.Mask, want: "stands for a secret where one is printed"},
		{yaml: big, want: "larger than 1048576 bytes"},
		{env: "BIJOU_LISEN=x", want: "environment variable BIJOU_LISEN is unknown: did you mean BIJOU_LISTEN?"},
		{env: "BIJOU_STUDIO_WORKERS=x", want: `BIJOU_STUDIO_WORKERS: studio.workers is "x"`},
		{env: "BIJOU_=x", want: "environment variable BIJOU_ is unknown"},
		{set: "listen", want: `setting "listen" has no value: write key=value, such as listen=…`},
		{set: "lisen=x", want: "key lisen is unknown: did you mean listen?"},
		{set: "studio=x", want: "key studio is unknown"},
		{set: "open=1", want: `setting open: open is "1": it must be true or false`},
	} {
		var env, sets []string
		if c.env != "" {
			env = []string{c.env}
		}
		if c.set != "" {
			sets = []string{c.set}
		}
		_, _, file, err := load(t, c.yaml, env, sets)
		if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), c.want) || file != "" && !strings.Contains(err.Error(), file) {
			t.Errorf("file %.40q, env %q, set %q: got %v, want %s", c.yaml, c.env, c.set, err, c.want)
		}
	}
}

func TestASecretIsReadFromAFileAndNeverRepeated(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte("sword fish\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, origins, _, err := load(t, "", []string{"BIJOU_TOKEN_FILE=" + path}, nil)
	if err != nil || got.Token != "sword fish" || origins["token"] != "BIJOU_TOKEN_FILE" {
		t.Errorf("got token %q from %q, %v", got.Token, origins["token"], err)
	}
	_, _, _, err = load(t, "", []string{"BIJOU_TOKEN_FILE=" + path, "BIJOU_TOKEN=x"}, nil)
	if !errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), "both give token") {
		t.Errorf("got %v, want both variables named", err)
	}
	_, _, _, err = load(t, "", []string{"BIJOU_TOKEN_FILE=" + dir + "/none"}, nil)
	if !errors.Is(err, bijou.NotFound) || !strings.Contains(err.Error(), "BIJOU_TOKEN_FILE names the file "+dir+"/none, which does not exist") {
		t.Errorf("got %v, want the variable and the file named", err)
	}
	_, _, _, err = load(t, "", nil, []string{"pin=swordfish"})
	if err == nil || strings.Contains(err.Error(), "swordfish") {
		t.Errorf("got %v, want the secret left out", err)
	}
}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]bijou.Kind{filepath.Join(dir, "none.yaml"): bijou.NotFound, dir: bijou.Unavailable} {
		c := defaults()
		_, err := conf.Load(&c, conf.Sources{File: path})
		if bijou.KindOf(err) != want || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

const printed = `# Address of the door.
listen: ":1"
# Whether guests may come in.
open: true
studio:
  # How many at once.
  workers: 3 # from a \"b\"\nc
  # A small number.
  small: 0
  # Part of the whole.
  share: 0.5
  # How long.
  wait: 1m0s
  # How much.
  space: 10GiB
  deep:
    # What it is called.
    name: ""
# Names of the service.
hosts: [a, "b c"]
# What the neighbour wants to hear.
token: "•••"
# A secret that is a number.
pin: 0
`

func TestThePrintedConfigurationExplainsItself(t *testing.T) {
	c := defaults()
	c.Studio.Workers, c.Token, c.Hosts = 3, "swordfish", []string{"a", "b c"}
	var b bytes.Buffer
	if err := conf.Print(&b, &c, conf.Origins{"studio.workers": "a \"b\"\nc"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printed, b.String()); diff != "" {
		t.Errorf("another text (-want +got):\n%s", diff)
	}
	var long struct {
		A string `yaml:"a" doc:"These are many words, and more of them than fit into one line of a file that people read, so they are broken into two."`
	}
	b.Reset()
	if err := conf.Print(&b, &long, nil); err != nil {
		t.Fatal(err)
	}
	want := "# These are many words, and more of them than fit into one line of a file that people read, so they\n# are broken into two.\na: \"\"\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("another text (-want +got):\n%s", diff)
	}
}

func TestWhatIsPrintedIsReadBack(t *testing.T) {
	dir := t.TempDir()
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"yes", "null", "~", "1", "0x1", "1e3", "a: b", "# c", "- d", "'", `"`, "\\", "a\nb", " a", "a ", "", "…", "[a]", "{", "*a", "&a", "!a", "%a", "@a", "`a", "\t"}))
	rapid.Check(t, func(t *rapid.T) {
		want := config{
			Listen: text.Draw(t, "listen"), Open: rapid.Bool().Draw(t, "open"), Hosts: rapid.SliceOf(text).Draw(t, "hosts"),
			Studio: studio{
				Workers: rapid.IntMin(1).Draw(t, "workers"), Small: rapid.Uint8().Draw(t, "small"), Share: rapid.Float64Range(-1e9, 1e9).Draw(t, "share"),
				Wait: time.Duration(rapid.Int64().Draw(t, "wait")), Space: conf.Size(rapid.Int64Min(0).Draw(t, "space")), Deep: deep{text.Draw(t, "name")},
			},
		}
		var b bytes.Buffer
		if err := conf.Print(&b, &want, nil); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "conf.yaml")
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got := defaults()
		if _, err := conf.Load(&got, conf.Sources{File: file}); err != nil {
			t.Fatalf("%s\n%v", b.String(), err)
		}
		if want.Hosts == nil {
			want.Hosts = []string{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n(-want +got):\n%s", b.String(), diff)
		}
	})
}

func TestKeysAreListedForDocumentation(t *testing.T) {
	c := defaults()
	c.Token = "swordfish"
	keys := conf.Keys(&c, "BIJOU")
	want := []conf.Key{
		{"listen", "text", ":1", "BIJOU_LISTEN", "Address of the door."},
		{"open", "true or false", "true", "BIJOU_OPEN", "Whether guests may come in."},
		{"studio.workers", "whole number", "2", "BIJOU_STUDIO_WORKERS", "How many at once."},
		{"studio.small", "whole number", "0", "BIJOU_STUDIO_SMALL", "A small number."},
		{"studio.share", "number", "0.5", "BIJOU_STUDIO_SHARE", "Part of the whole."},
		{"studio.wait", "duration", "1m0s", "BIJOU_STUDIO_WAIT", "How long."},
		{"studio.space", "size", "10GiB", "BIJOU_STUDIO_SPACE", "How much."},
		{"studio.deep.name", "text", "", "BIJOU_STUDIO_DEEP_NAME", "What it is called."},
		{"hosts", "list", "a,b", "BIJOU_HOSTS", "Names of the service."},
		{"token", "text", conf.Mask, "BIJOU_TOKEN", "What the neighbour wants to hear."},
		{"pin", "whole number", conf.Mask, "BIJOU_PIN", "A secret that is a number."},
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("other keys (-want +got):\n%s", diff)
	}
}

func TestAStructThatIsNoConfigurationPanics(t *testing.T) {
	for name, into := range map[string]any{
		"no pointer": config{}, "no struct": new(int), "nil": (*config)(nil),
		"key without documentation": &struct {
			A string `yaml:"a"`
		}{},
		"key without name": &struct{ A string }{},
		"key of a type that no text can be": &struct {
			A map[string]int `yaml:"a" doc:"x"`
		}{},
		"two keys of one variable": &struct {
			A string `yaml:"a_b" doc:"x"`
			B struct {
				C string `yaml:"b" doc:"x"`
			} `yaml:"a"`
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			conf.Keys(into, "BIJOU")
		}()
	}
}

func TestASizeIsReadAndWritten(t *testing.T) {
	for text, want := range map[string]conf.Size{
		"0": 0, "7": 7, "7B": 7, "1kB": 1000, "1KiB": 1024, " 10GiB ": 10 << 30, "4 GB": 4e9, "2TB": 2e12, "1TiB": 1 << 40, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := conf.ParseSize(text); got != want || err != nil {
			t.Errorf("ParseSize(%q): got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "-1", "1.5GiB", "1 gib", "1K", "GiB", "9223372036854775808", "9999999999TiB", "1GiBB", "0x10", "1_000"} {
		if got, err := conf.ParseSize(text); !errors.Is(err, bijou.Invalid) {
			t.Errorf("ParseSize(%q): got %d, %v, want invalid", text, got, err)
		}
	}
	for size, want := range map[conf.Size]string{0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1536: "1536", 3 << 20: "3MiB", 1 << 40: "1TiB", 1 << 50: "1024TiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(size), got, want)
		}
	}
}

func TestTheNearestNameIsSuggestedAndNoneThatIsFar(t *testing.T) {
	known := []string{"listen", "data_dir", "log_level", "a"}
	for name, want := range map[string]string{
		"listn": "listen", "LISTEN": "listen", "datadir": "data_dir", "log-level": "log_level", "loglvl": "log_level", "zebra": "", "x": "a", "": "", "listening on": "",
	} {
		if got := conf.Nearest(name, known); got != want {
			t.Errorf("Nearest(%q): got %q, want %q", name, got, want)
		}
	}
}

// FuzzFile asks that a configuration file is refused with a kind and in words that name it, or read.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		printed, "", "listen: a", "studio: {workers: 1}", "a: &x [*x]", "? a\n: b", "hosts:\n- a\n- |\n  b\n", "listen: !!int 3", "\x00", "listen: \"\\ud800\"",
		"---\n...\n---", "%YAML 1.2", "<<: *a", "{a: b", "\ttab: x", "studio:\n  deep:\n    name: >-\n      x", "listen: 2020-01-01", ": :", "- - - -",
	} {
		f.Add(seed)
	}
	file := filepath.Join(f.TempDir(), "conf.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := defaults()
		origins, err := conf.Load(&c, conf.Sources{File: file})
		switch {
		case err != nil && (!errors.Is(err, bijou.Invalid) || !strings.Contains(err.Error(), file) && !strings.HasPrefix(err.Error(), "studio: ") && !strings.HasPrefix(err.Error(), "listen is ")):
			t.Errorf("file %q: got %v, want invalid, and the file named", text, err)
		case err == nil && len(origins) == 0 && !cmp.Equal(c, defaults()):
			t.Errorf("file %q: got %+v, and nothing says where it came from", text, c)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"", "1GiB", "10 MB", "-1", "99999999999999999999TiB", "B", "1B B"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := conf.ParseSize(text)
		if err != nil {
			if !errors.Is(err, bijou.Invalid) {
				t.Errorf("%q: got %v, want invalid", text, err)
			}
			return
		}
		if again, err := conf.ParseSize(size.String()); again != size || size < 0 || err != nil {
			t.Errorf("%q: got %d, written %s, read again as %d, %v", text, size, size, again, err)
		}
	})
}
