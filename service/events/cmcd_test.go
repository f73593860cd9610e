package events_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/kit/rpc"

	"github.com/google/go-cmp/cmp"
)

// tell sends reports in event mode to a room, as a member, and returns the answer.
func tell(h http.Handler, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/api/v1/cmcd", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/cmcd")
	r.Header.Set(rpc.CallerHeader, `{"account":"acc_1","profile":"prf_1"}`)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// line prints a report: at so many milliseconds after the test's time, with the keys.
func line(sn int, ms int64, keys string) string {
	return fmt.Sprintf(`%s,sid="ply_1",cid="ttl_1",sn=%d,ts=%d,v=2`, keys, sn, now.UnixMilli()+ms)
}

// said prints what counts of facts.
func said(facts []bijou.Fact) (out []string) {
	for _, f := range facts {
		s := fmt.Sprintf("%d %s at %d", f.Seq, f.Kind, f.PositionMS)
		if f.DurationMS > 0 {
			s += fmt.Sprintf(" took %d", f.DurationMS)
		}
		if f.PlayedMS > 0 {
			s += fmt.Sprintf(" played %d", f.PlayedMS)
		}
		if f.BPS > 0 {
			s += fmt.Sprintf(" bps %d", f.BPS)
		}
		if f.Reason != "" {
			s += fmt.Sprintf(" because %s: %s", f.Cause, f.Reason)
		}
		out = append(out, s)
	}
	return out
}

func TestAPlayerInEventModeTellsFactsByItsStates(t *testing.T) {
	for name, c := range map[string]struct{ lines, want []string }{
		"all that the standard has": {
			[]string{
				line(0, 0, `e=ps,sta=s`), line(1, 900, `e=bc,br=(3000;v)`), line(2, 1200, `e=ps,sta=p,msd=1150,pt=0,br=(3000;v 128;a)`), line(3, 5200, `e=t,sta=p,pt=4000,br=(3000;v)`),
				line(4, 6200, `e=ps,sta=r,pt=5000`), line(5, 7000, `e=ps,sta=p,bsd=790,pt=5000`), line(6, 8000, `e=ps,sta=a,pt=6000`), line(7, 38_000, `e=t,sta=a,pt=6000`),
				line(8, 39_000, `e=ps,sta=p,pt=6000`), line(9, 40_000, `e=ps,sta=k,pt=7000`), line(10, 40_500, `e=ps,sta=p,pt=90000`), line(11, 50_000, `e=m`), line(12, 60_500, `e=ps,sta=e,pt=110000`),
			},
			[]string{
				"1 start at 0", "4 rate at 0 bps 3000000", "6 first_frame at 0 took 1150 bps 3000000", "8 heartbeat at 4000 played 4000 bps 3000000",
				"10 heartbeat at 5000 played 1000 bps 3000000", "12 stall at 5000 took 790 bps 3000000", "14 pause at 6000 played 1000 bps 3000000",
				"18 heartbeat at 6000 bps 3000000", "20 heartbeat at 7000 played 1000 bps 3000000", "22 seek at 90000 bps 3000000", "26 end at 110000 played 10500 bps 3000000",
			},
		},
		"a player that says neither that it starts nor where it is": {
			[]string{line(0, 0, `e=ps,sta=r`), line(1, 800, `e=ps,sta=p`), line(2, 10_800, `e=t,sta=p,msd=700`), line(3, 11_000, `e=ps,sta=r`), line(4, 13_000, `e=ps,sta=p`)},
			[]string{"1 start at 0", "4 first_frame at 0 took 800", "6 heartbeat at 0 played 10000", "8 heartbeat at 0 played 200", "10 stall at 0 took 2000"},
		},
		"a player that never says what state it is in": {
			[]string{line(0, 0, `e=t`), line(1, 100, `e=bc,br=(364)`), line(2, 2000, `e=t,msd=213,br=(364)`), line(3, 4000, `e=t,br=(364)`)},
			[]string{"1 start at 0", "4 rate at 0 bps 364000", "6 first_frame at 0 took 213 bps 364000", "8 heartbeat at 0 bps 364000"},
		},
		"one that fails before the first picture": {
			[]string{line(0, 0, `e=ps,sta=s`), line(1, 4000, `e=ps,sta=f,ec=("1002")`), line(2, 4001, `e=e,sta=f,ec=("1002")`)},
			[]string{"1 start at 0", "4 error at 0 took 0 because other: player error 1002"},
		},
		"one that was forgotten meanwhile": {
			[]string{line(40, 0, `e=ps,sta=p,pt=9000`), line(41, 4000, `e=t,sta=p,pt=13000`), line(42, 5000, `e=ps,sta=q,pt=14000`)},
			[]string{"82 heartbeat at 9000", "84 heartbeat at 13000 played 4000", "86 end at 14000 played 1000"},
		},
	} {
		for _, whole := range []bool{true, false} {
			room, l, _ := newRoom(1)
			h := rpc.Handler(rpc.Deps{}, room.Routes()...)
			reports := c.lines
			if whole {
				reports = []string{strings.Join(c.lines, "\n")}
			}
			for _, r := range reports {
				if rec := tell(h, r); rec.Code != http.StatusNoContent {
					t.Errorf("%s: %s\nanswer %d %s", name, r, rec.Code, rec.Body)
				}
			}
			want := strings.ReplaceAll(strings.Join(c.want, "\n"), " took 0", "")
			if diff := cmp.Diff(want, strings.Join(said(l.facts(t, 0)), "\n")); diff != "" {
				t.Errorf("%s, in one request %v (-want +got):\n%s", name, whole, diff)
			}
		}
	}
}

func TestAReportThatIsSentAgainTellsTheSameFacts(t *testing.T) {
	room, l, _ := newRoom(1)
	h := rpc.Handler(rpc.Deps{}, room.Routes()...)
	start, shown := line(0, 0, `e=ps,sta=s`), line(1, 700, `e=ps,sta=p,pt=0`)
	l.fail = fmt.Errorf("the disk is full: %w", bijou.Exhausted)
	if rec := tell(h, start+"\n"+shown); rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" {
		t.Errorf("while the log keeps nothing: answer %d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
	l.fail = nil
	tell(h, start+"\n"+shown)
	want := []string{"1 start at 0", "4 first_frame at 0 took 700"}
	if diff := cmp.Diff(want, said(l.facts(t, 0))); diff != "" {
		t.Errorf("after the log was back (-want +got):\n%s", diff)
	}
	tell(h, start+"\n"+shown) // the answer was lost
	for _, f := range l.facts(t, 0)[2:] {
		if f.Seq > 4 {
			t.Errorf("a report that came twice tells the new fact %+v", f)
		}
	}
}

func TestWhatIsNoViewingOfOursOrFromAnotherTimeIsRefusedAndCounted(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		reason string
	}{
		"a session of its own": {strings.Replace(line(0, 0, "e=ps,sta=s"), "ply_1", "6e2fb550-c457", 1), "foreign"},
		"no title":             {strings.Replace(line(0, 0, "e=ps,sta=s"), "ttl_1", "film", 1), "foreign"},
		"the future":           {line(0, 25*time.Hour.Milliseconds(), "e=ps,sta=s"), "time"},
		"the past":             {line(0, -25*time.Hour.Milliseconds(), "e=ps,sta=s"), "time"},
		"no time":              {`e=ps,sta=s,sid="ply_1",cid="ttl_1",v=2`, "time"},
		"no place":             {line(0, 0, "e=ps,sta=s,pt=900000000000"), "invalid"},
		"no CMCD":              {`e="`, "unreadable"},
	} {
		room, l, metrics := newRoom(1)
		h := rpc.Handler(rpc.Deps{}, room.Routes()...)
		if rec := tell(h, c.body); rec.Code != http.StatusBadRequest || len(l.kept[0]) != 0 {
			t.Errorf("%s: answer %d %s, %d facts kept", name, rec.Code, rec.Body, len(l.kept[0]))
		}
		if got := counted(t, metrics, "bijou_facts_dropped_total")[c.reason]; got != 1 {
			t.Errorf("%s: %v facts counted as %s, want 1", name, got, c.reason)
		}
	}
	room, l, _ := newRoom(1)
	h := rpc.Handler(rpc.Deps{}, room.Routes()...)
	mixed := strings.Replace(line(0, 0, "e=ps,sta=s"), "ply_1", "x", 1) + "\n" + line(0, 0, "e=ps,sta=s") + "\n" + line(1, 5, "e=um")
	if rec := tell(h, mixed); rec.Code != http.StatusNoContent || len(l.kept[0]) != 1 {
		t.Errorf("one that is refused beside others: answer %d, %d facts kept, want 204 and 1", rec.Code, len(l.kept[0]))
	}
	if rec := tell(h, line(2, 6, "e=m")); rec.Code != http.StatusNoContent {
		t.Errorf("one that tells of no fact: answer %d %s", rec.Code, rec.Body)
	}
}

// A player that does not say where in the title it is must not set a member's place back to the start.
func TestAProfileIsNamedWhereThePlaceIsKnown(t *testing.T) {
	for keys, want := range map[string]bijou.ProfileID{"e=ps,sta=p": "", "e=ps,sta=p,pt=5000": "prf_1"} {
		room, l, _ := newRoom(1)
		tell(rpc.Handler(rpc.Deps{}, room.Routes()...), line(3, 0, keys+`,cdn="apl_near"`))
		for _, f := range l.facts(t, 0) {
			if f.Profile != want || f.Zone != "oslo" || f.Player != "cmcd/2" {
				t.Errorf("%s: kept %+v, want profile %q and zone oslo", keys, f, want)
			}
		}
	}
}

func FuzzCMCD(f *testing.F) {
	f.Add(line(0, 0, "e=ps,sta=s") + "\n" + line(1, 900, "e=ps,sta=p,msd=800,pt=0") + "\n" + line(2, 5000, "e=ps,sta=r"))
	f.Add(`[{"e":"t","sta":"p","sid":"ply_1","cid":"ttl_1","ts":1795464000000,"sn":1e300,"br":[-1],"pt":1e14}]`)
	f.Add(line(0, 0, `e=ps,sta=f,ec=("`+strings.Repeat("é", 300)+`")`))
	f.Fuzz(func(t *testing.T, body string) {
		room, l, _ := newRoom(1)
		rec := tell(rpc.Handler(rpc.Deps{}, room.Routes()...), body)
		if rec.Code != http.StatusNoContent && rec.Code != http.StatusBadRequest {
			t.Fatalf("%q: answer %d %s", body, rec.Code, rec.Body)
		}
		for _, f := range l.facts(t, 0) {
			if err := f.Check(); err != nil {
				t.Fatalf("%q: kept %+v: %v", body, f, err)
			}
		}
	})
}
