package cmcd

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"bijou"

	"github.com/google/go-cmp/cmp"
)

// What players of version 1 send, as CTA-5004 section 4 shows it.
func TestVersionOneIsReadAndPrinted(t *testing.T) {
	for text, want := range map[string]Data{
		`br=3200,bs,d=4004,mtp=25400`: {"br": Number(3200), "bs": Yes(), "d": Number(4004), "mtp": Number(25400)},
		`bl=21300,cid="faec5fc2-ac30",dl=18500,nor="..%2F300kbps%2Ftrack.m4v",nrr="12323-48763",ot=v,pr=1.08,sf=d,sid="6e2fb550",st=v,su`: {
			"bl": Number(21300), "cid": Text("faec5fc2-ac30"), "dl": Number(18500), "nor": Text("..%2F300kbps%2Ftrack.m4v"), "nrr": Text("12323-48763"),
			"ot": Word("v"), "pr": Number(1.08), "sf": Word("d"), "sid": Text("6e2fb550"), "st": Word("v"), "su": Yes(),
		},
		`com.example-key="a \"text\" and a \\"`: {"com.example-key": Text(`a "text" and a \`)},
		``:                                      {},
	} {
		got, err := Parse(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
		if again, err := Print(got); err != nil || again != text {
			t.Errorf("%s is printed as %s, %v", text, again, err)
		}
	}
}

// What players in event mode send (CTA-5004-B): lists of numbers about an object type, error codes, states.
func TestVersionTwoIsReadAndPrinted(t *testing.T) {
	const text = `bl=(4000;v 3900;a),br=(5000;v 128;a),cid="ttl_1",e=ps,ec=("3016" "other"),msd=321,nor=("2.m4s";r="0-99"),sid="ply_1",sn=4,sta=p,ts=1796000000123,v=2`
	d, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Print(d); err != nil || again != text {
		t.Errorf("printed as\n%s, %v, want\n%s", again, err, text)
	}
	if br, ok := d.Number("br"); !ok || br != 5000 {
		t.Errorf("rate of the picture: got %v, %v, want 5000", br, ok)
	}
	if ts, _ := d.Number("ts"); ts != 1796000000123 {
		t.Errorf("time: got %v", ts)
	}
	if d.Text("ec") != "3016" || d.Text("sta") != "p" || d.Text("br") != "" {
		t.Errorf("texts: got %q, %q, %q", d.Text("ec"), d.Text("sta"), d.Text("br"))
	}
}

func TestWhatIsSloppyIsReadAllTheSame(t *testing.T) {
	for text, want := range map[string]string{
		` br=1 , ,bs , cid=abc`:      `br=1,bs,cid=abc`,
		`br=1,br=2`:                  `br=2`,
		`bs=?1,su=?0`:                `bs`,
		`su=false,bs=true`:           `bs`,
		`bl=1249,mtp=151`:            `bl=1200,mtp=200`,
		`v=1,pr=1,d=5`:               `d=5`,
		`br=( 1;v  2 ),ot=a`:         `br=(1;v 2),ot=a`,
		`d=-0,pr=2.50`:               `d=0,pr=2.5`,
		`my-key=1.23456`:             `my-key=1.235`,
		`nor="a\b",sid="x"` + "\t\t": `nor="ab",sid="x"`,
	} {
		d, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := Print(d); err != nil || got != want {
			t.Errorf("%s: printed as %s, %v, want %s", text, got, err, want)
		}
	}
	d, err := Parse(`zz=1,Ab=2`)
	if n, ok := d.Number("zz"); err != nil || !ok || n != 1 || !d.Is("Ab") {
		t.Errorf("keys that nobody knows: got %v, %v", d, err)
	}
}

func TestWhatHasNoEndOrIsTooMuchIsRefused(t *testing.T) {
	for _, text := range []string{
		`sid="abc`, `sid="abc\`, `br=(1 2`, `br=(1 ( 2)`, `=1`, `sid="a"b`, `br=1;=2`, strings.Repeat("k", 65), `nor="` + strings.Repeat("x", 1025) + `"`,
		strings.Repeat("x", MaxBytes+1), `br=(` + strings.Repeat("1 ", 65) + `)`, manyKeys(101),
	} {
		if d, err := Parse(text); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%.60s: got %v, %v, want Invalid", text, d, err)
		}
	}
	for _, d := range []Data{
		{"zz": Number(1)}, {"My-key": Number(1)}, {"sid": Text("ä")}, {"sid": Text(strings.Repeat("x", 1025))}, {"ot": Word("a b")}, {"d": Number(1e15)},
		{"d": {Items: []Item{{Value: []byte("x")}}}}, {"br": {List: true, Items: []Item{{Value: 1.0, Params: []Param{{"", true}}}}}},
	} {
		if text, err := Print(d); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%v: printed as %s, %v, want Invalid", d, text, err)
		}
	}
}

func manyKeys(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, "k-"+strings.Repeat("a", i%50)+strings.Repeat("b", i/50))
	}
	return strings.Join(keys, ",")
}

var carried = Data{
	"br": Number(3200), "bs": Yes(), "cid": Text("ttl_1"), "sid": Text("ply_1"), "ot": Word("v"), "su": Yes(), "mtp": Number(25400), "rtp": Number(12100),
	"sf": Word("h"), "com.example-x": Text("a b"),
}

func TestTheQueryCarriesADictionary(t *testing.T) {
	address, err := ToQuery("https://box.example.org/g/T/ast_1/v/1.m4s?a=b", carried)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil || strings.Contains(u.RawQuery, "+") || u.Query().Get("a") != "b" {
		t.Fatalf("address %s: %v", address, err)
	}
	got, err := FromQuery(u.Query())
	if diff := cmp.Diff(carried, got); err != nil || diff != "" {
		t.Errorf("read back: %v (-want +got):\n%s", err, diff)
	}
}

func TestFourHeadersCarryADictionary(t *testing.T) {
	h := http.Header{}
	if err := ToHeaders(h, carried); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Cmcd-Object": {"br=3200,ot=v"}, "Cmcd-Request": {`com.example-x="a b",mtp=25400,su`}, "Cmcd-Session": {`cid="ttl_1",sf=h,sid="ply_1"`}, "Cmcd-Status": {"bs,rtp=12100"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	got, err := FromHeaders(h)
	if diff := cmp.Diff(carried, got); err != nil || diff != "" {
		t.Errorf("read back: %v (-want +got):\n%s", err, diff)
	}
	if err := ToHeaders(h, Data{"e": Word("ps")}); !errors.Is(err, bijou.Invalid) {
		t.Errorf("an event in a header: got %v, want Invalid", err)
	}
}

func TestReportsComeAsLinesOrAsJSON(t *testing.T) {
	want := []Data{
		{"e": Word("ps"), "sta": Word("p"), "sid": Text("ply_1"), "ts": Number(1796000000123), "v": Number(2), "br": NumberOf(5000, "v")},
		{"e": Word("e"), "ec": {List: true, Items: []Item{{Value: "3016"}}}, "sid": Text("ply_1"), "bg": Yes()},
	}
	lines, err := PrintReports(want)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := PrintJSON(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"lines": string(lines), "lines of another system": strings.ReplaceAll(string(lines), "\n", "\r\n\r\n") + "\n", "JSON": string(asJSON),
		"JSON with more in it": strings.Replace(string(asJSON), "{", `{"x":null,"y":{"z":1},"cid":[],`, 1),
	} {
		got, err := ParseReports([]byte(body), 2)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s:\n%s\n%v (-want +got):\n%s", name, body, err, diff)
		}
		if got, err := ParseReports([]byte(body), 1); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s, at most one: got %v, %v, want Invalid", name, got, err)
		}
	}
	if got, err := ParseReports([]byte(`{"e":"t","bl":[4000]}`), 1); err != nil || len(got) != 1 || got[0].Text("e") != "t" {
		t.Errorf("one JSON object: got %v, %v", got, err)
	}
	for _, body := range []string{`[`, `{`, `[1]`, `["e"]`, `e="`, `[{"e":"t"},2]`} {
		if got, err := ParseReports([]byte(body), 10); !errors.Is(err, bijou.Invalid) {
			t.Errorf("%s: got %v, %v, want Invalid", body, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`br=3200,bs,d=4004`, `br=(5000;v 128;a),e=ps,ec=("1" "2")`, `nor="a\"";r="0-"`, `a-b=?0`, `{"e":"ps","br":[{"value":1,"params":{"v":true}}]}`, "e=t\ne=t", "="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseReports([]byte(text), 10)
		if err != nil && !errors.Is(err, bijou.Invalid) {
			t.Fatalf("%q: an error without a kind: %v", text, err)
		}
		for _, d := range all {
			// What is printed is read as what it says, and printed the same.
			printed, err := Print(d)
			if err != nil {
				continue // sloppy data that no dictionary can hold
			}
			again, err := Parse(printed)
			if err != nil {
				t.Fatalf("%q is printed as %q, which cannot be read: %v", text, printed, err)
			}
			if twice, err := Print(again); err != nil || twice != printed {
				t.Fatalf("%q is printed as %q and then as %q, %v", text, printed, twice, err)
			}
		}
	})
}
