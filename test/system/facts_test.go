package system_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bijou"
	"bijou/engine/logfile"
	"bijou/test/harness"
	"bijou/viewer"
)

// How much the test of facts does: little where nothing is said, for make test; all of it for make test-facts.
var (
	factsTotal = flag.Int("facts.total", 50_000, "facts that simulated players report at least")
	factsKills = flag.Int("facts.kills", 2, "how often the service is killed meanwhile")
)

const (
	players         = 200
	factsOfAViewing = 100
)

// set is which facts of one viewing there are, by their places from 1.
type set [2]uint64

func (s *set) add(seq int64) (again bool) {
	bit := uint64(1) << (seq % 64)
	again = s[seq/64]&bit != 0
	s[seq/64] |= bit
	return again
}

func TestEveryAcknowledgedFactIsOnTheLogHoweverOftenTheServiceIsKilled(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		random := harness.Seed(t)
		o := harness.Options{Args: []string{"--listen", freeAddress(t), "--set", "log_level=error"}}
		sv, _ := library(t, shape, o)
		var mu sync.Mutex
		var acknowledged atomic.Int64
		acked := map[string]*set{}
		ended := make(chan error, 1)
		viewings := *factsTotal/players/factsOfAViewing*104/100 + 1 // some of which do not start, and have little to tell
		begin := time.Now()
		viewersSeed := random.Uint64()
		go func() {
			did, err := viewer.Run(context.Background(), viewer.Config{
				Address: sv.Address, Players: players, Viewings: viewings, Facts: factsOfAViewing, Batch: factsOfAViewing, Seed: viewersSeed,
				Acknowledged: func(facts []viewer.Fact) {
					mu.Lock()
					defer mu.Unlock()
					for _, f := range facts {
						if acked[f.Session] == nil {
							acked[f.Session] = &set{}
						}
						acked[f.Session].add(f.Seq)
					}
					acknowledged.Add(int64(len(facts)))
				},
			})
			t.Logf("%d players: %+v in %s", players, did, time.Since(begin).Round(time.Millisecond))
			ended <- err
		}()
		for round := range *factsKills {
			// Some time within the round's share of all facts, however fast this machine is.
			share := int64(*factsTotal) * 9 / 10 / int64(*factsKills)
			moment := share*int64(round) + random.Int64N(share)
			for acknowledged.Load() < moment && len(ended) == 0 {
				time.Sleep(time.Millisecond)
			}
			sv.Kill(t)
			t.Logf("kill %d after %d facts were acknowledged", round+1, acknowledged.Load())
			sv = sv.Restart(t, o)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Minute):
			t.Fatalf("after ten minutes %d facts are acknowledged", acknowledged.Load())
		}
		if status := sv.Stop(t); status != 0 {
			t.Errorf("the service ends with status %d", status)
		}
		if acknowledged.Load() < int64(*factsTotal) {
			t.Errorf("%d facts are acknowledged, want %d at least", acknowledged.Load(), *factsTotal)
		}
		total, twice := 0, 0
		onLog := map[bijou.SessionID]*set{}
		readFacts(t, sv.DataDir, func(f bijou.Fact) {
			if onLog[f.Session] == nil {
				onLog[f.Session] = &set{}
			}
			if onLog[f.Session].add(f.Seq) {
				twice++
				return
			}
			total++
		})
		for session, want := range acked {
			if got := onLog[bijou.SessionID(session)]; got == nil || got[0]&want[0] != want[0] || got[1]&want[1] != want[1] {
				t.Errorf("viewing %s: the log has %b of the acknowledged facts %b", session, got, want)
			}
		}
		if int64(total) != acknowledged.Load() || len(onLog) != len(acked) {
			t.Errorf("the log has %d facts of %d viewings, want the %d of %d that were acknowledged", total, len(onLog), acknowledged.Load(), len(acked))
		}
		t.Logf("%d facts of %d viewings are on the log once; %d came twice, since their acknowledgement was cut off", total, len(onLog), twice)
	})
}

// Players that fetch what they watch, too: each fact says which appliance its segment came from, and the service where that stands.
func TestFactsSayWhichApplianceTheirPicturesCameFrom(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, _ := library(t, shape, harness.Options{Args: []string{"--set", "appliance.zone=oslo"}})
		did, err := viewer.Run(t.Context(), viewer.Config{Address: sv.Address, Players: 10, Viewings: 2, Facts: 8, Batch: 3, Seed: 1, Fetch: true})
		if err != nil || did.Plays != 20 || did.Segments < 100 || did.Bytes == 0 {
			t.Fatalf("10 players: %+v, %v", did, err)
		}
		var boxes []struct {
			Appliance struct{ ID bijou.ApplianceID }
		}
		r := sv.CLI(t, "--output", "json", "appliance", "list")
		if err := json.Unmarshal([]byte(r.Out), &boxes); err != nil || len(boxes) != 2 {
			t.Fatalf("appliance list: %s%s: %v", r.Out, r.Err, err)
		}
		if status := sv.Stop(t); status != 0 {
			t.Errorf("the service ends with status %d", status)
		}
		facts := int64(0)
		readFacts(t, sv.DataDir, func(f bijou.Fact) {
			if facts++; f.Kind == bijou.FactStart || f.Kind == bijou.FactError {
				return
			}
			if f.Appliance != boxes[0].Appliance.ID && f.Appliance != boxes[1].Appliance.ID || f.Zone != "oslo" || f.BPS == 0 {
				t.Errorf("fact %+v, want one of the appliances %+v, in oslo", f, boxes)
			}
		})
		if facts != did.Facts {
			t.Errorf("%d facts are on the log, want the %d that were acknowledged", facts, did.Facts)
		}
	})
}

// readFacts reads every fact that lies in the log of a service that has ended, those that came twice too. What is counted while facts come
// in can be counted anew from these.
func readFacts(t *testing.T, dataDir string, each func(bijou.Fact)) {
	t.Helper()
	log, err := logfile.Open(filepath.Join(dataDir, "log"), logfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	partitions, err := log.Partitions(t.Context(), bijou.TopicFacts)
	if err != nil {
		t.Fatal(err)
	}
	for p := range partitions {
		// A mark behind the last record tells where to stop, since Read waits for more.
		end, err := log.Append(t.Context(), bijou.TopicFacts, p, []bijou.Record{{Key: []byte("end")}})
		if err != nil {
			t.Fatal(err)
		}
		for next := int64(0); next < end; {
			records, err := log.Read(t.Context(), bijou.TopicFacts, p, next, 10_000)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				next = r.Offset + 1
				if r.Offset == end {
					continue
				}
				var f bijou.Fact
				if err := errors.Join(json.Unmarshal(r.Value, &f), f.Check()); err != nil || f.Seq > factsOfAViewing {
					t.Fatalf("record %d of partition %d: %v: %s", r.Offset, p, err, r.Value)
				}
				each(f)
			}
		}
	}
}
