package system_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bijou"
	"bijou/engine/logfile"
	"bijou/service/events"
	"bijou/service/pulse"
	"bijou/test/harness"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAServiceThatIsKilledOftenCountsViewersAsARecountOfItsLogDoes(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random := harness.Seed(t)
		begin := time.Now()
		sv := shape.Start(t, harness.Options{})
		for range *factsKills { // ten are long enough for minutes to end
			ended := make(chan struct{})
			var audience sync.WaitGroup
			for range 2 {
				r := rand.New(rand.NewPCG(random.Uint64(), 1))
				audience.Go(func() { watch(r, sv, ended) })
			}
			time.Sleep(time.Duration(4000+random.IntN(4000)) * time.Millisecond)
			sv.Kill(t)
			close(ended)
			audience.Wait()
			sv = sv.Restart(t, harness.Options{})
		}
		sv.Kill(t)
		logs := loggedFacts(t, sv.DataDir)
		sv = sv.Restart(t, harness.Options{})
		operator, end := sv.Operator(t), time.Now().Add(time.Minute)
		for _, by := range []bijou.PulseDimension{bijou.ByTitle, bijou.ByAppliance, bijou.ByZone, bijou.ByPlayer} {
			total, groups := pulse.Recount(logs, begin, end, end, by)
			if total.Starts < 100 || total.Failed == 0 || total.Abandoned == 0 {
				t.Fatalf("the log has %+v: the audience did too little", total)
			}
			want, difference := pulse.Answer{Total: total, Groups: groups}, ""
			t.Cleanup(func() {
				if t.Failed() {
					t.Log("recount (-), pulse (+):", difference)
				}
			})
			path := fmt.Sprintf("/api/v1/pulse?from=%s&until=%s&limit=200&by=%s", begin.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339), by)
			harness.Eventually(t, "figures of pulse as a recount has them", func() bool {
				var got pulse.Answer
				if a := operator.Do(t, "GET", path, nil); a.Status != 200 || json.Unmarshal(a.Body, &got) != nil {
					difference = string(a.Body) // right after its start it may still be reading
					return false
				}
				difference = cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(pulse.Answer{}, "From", "Until", "StepS", "Since", "Points", "By"),
					cmpopts.IgnoreFields(bijou.PulseFigures{}, "StartsPerSecond", "Watching")) // they depend on when it is asked
				return difference == ""
			})
		}
		for n, facts := range logs {
			t.Logf("partition %d has %d facts", n, len(facts))
		}
		table := sv.CLI(t, "pulse", "--by", "player")
		if lines := strings.Split(table.Out, "\n"); table.Status != 0 || len(lines) < 5 || !strings.HasPrefix(lines[0], "PLAYER ") || !strings.Contains(table.Out, "\ntest/1 ") || !strings.Contains(table.Out, "\nin all ") {
			t.Errorf("bijou pulse --by player: %+v", table)
		}
	})
}

// watch reports what viewers might do until the service has ended, some of it twice.
func watch(r *rand.Rand, sv *harness.Service, ended <-chan struct{}) {
	guest := harness.Client{Base: sv.Address}
	for {
		session := bijou.NewID[bijou.SessionID](bijou.SessionPrefix)
		fact := bijou.Fact{
			Kind: bijou.FactStart, Session: session, Seq: 1, Title: bijou.TitleID(fmt.Sprintf("ttl_%d", r.IntN(20))), Player: fmt.Sprintf("test/%d", r.IntN(3)),
		}
		report := events.Report{Facts: []bijou.Fact{fact}}
		for range r.IntN(5) {
			fact.Seq++
			fact.Kind = []bijou.FactKind{bijou.FactFirstFrame, bijou.FactHeartbeat, bijou.FactStall, bijou.FactError, bijou.FactEnd}[r.IntN(5)]
			fact.DurationMS, fact.PlayedMS, fact.BPS = r.Int64N(12_000), r.Int64N(30_000), r.Int64N(6_000_000)
			report.Facts = append(report.Facts, fact)
		}
		body, err := json.Marshal(report)
		if err != nil {
			panic(err) // it is made of plain values
		}
		for range 1 + r.IntN(2) {
			select {
			case <-ended:
				return
			default:
				// Where the service is dead, nothing is acknowledged and nothing has to be counted.
				_, _ = guest.Try("POST", "/api/v1/facts", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}})
			}
		}
	}
}

// loggedFacts reads the facts of a data directory that nobody holds.
func loggedFacts(t *testing.T, dataDir string) (out [][]bijou.Fact) {
	t.Helper()
	l, err := logfile.Open(filepath.Join(dataDir, "log"), logfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n, err := l.Partitions(t.Context(), bijou.TopicFacts)
	if err != nil {
		t.Fatal(err)
	}
	for p := range n {
		end, err := l.Append(t.Context(), bijou.TopicFacts, p, []bijou.Record{{Value: []byte("the end")}})
		if err != nil {
			t.Fatal(err)
		}
		var all []bijou.Fact
		for next := int64(0); next < end; {
			records, err := l.Read(t.Context(), bijou.TopicFacts, p, next, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				var f bijou.Fact
				if next = r.Offset + 1; json.Unmarshal(r.Value, &f) == nil { // the end is none
					all = append(all, f)
				}
			}
		}
		out = append(out, all)
	}
	return out
}
